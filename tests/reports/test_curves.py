from __future__ import annotations

import re

from medpipe.reports.curves import curves_section, draw_curve


def points(drawn: dict, path: str) -> list[tuple[float, float]]:
    """The places of a path in the units of its axes."""
    x, y = drawn["chart"].x, drawn["chart"].y

    def back(scale, pixel: str) -> float:
        return round(scale.low + (float(pixel) - scale.start) / (scale.end - scale.start) * (scale.high - scale.low), 2)

    return [(back(x, a), back(y, b)) for a, b in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)]


def test_a_curve_is_drawn_through_its_points(sample) -> None:
    drawn = draw_curve("AFROC", sample.curve("AFROC", [0, 0.2, 0.5], [0, 0.7, 0.8]))
    assert points(drawn, drawn["line"]) == [(0, 0), (0.2, 0.7), (0.5, 0.8)]
    assert points(drawn, drawn["tail"]) == [(0.5, 0.8), (1, 1)]
    assert drawn["chance"] == ""


def test_a_curve_of_steps_holds_its_height_up_to_each_point(sample) -> None:
    drawn = draw_curve("PR", sample.curve("PR", [0, 0.5, 1], [1, 0.9, 0.3], extends=False))
    assert points(drawn, drawn["line"]) == [(0, 1), (0, 0.9), (0.5, 0.9), (0.5, 0.3), (1, 0.3)]


def test_a_long_free_response_curve_is_cut_at_eight_false_positives_per_image(sample) -> None:
    drawn = draw_curve("FROC", sample.curve("FROC", [0, 6, 16], [0, 0.6, 0.8], extends=False))
    assert drawn["cut"]
    assert points(drawn, drawn["line"])[-1] == (8.0, 0.64)  # on the straight line between the last two points
    short = draw_curve("FROC", sample.curve("FROC", [0, 0.3], [0, 0.6], extends=False))
    assert short["right"] == 1.0
    assert not short["cut"]


def test_the_table_of_a_long_curve_is_even_and_keeps_both_ends(sample) -> None:
    n = 1000
    curve = sample.curve("ROC", [k / (n - 1) for k in range(n)], [k / (n - 1) for k in range(n)])
    rows = draw_curve("ROC", curve)["rows"]
    assert len(rows) == 21
    assert (rows[0]["x"], rows[-1]["x"]) == (0, 1)
    assert rows[0]["threshold"] is None


def test_operating_points_are_marked_on_the_roc_curve(sample) -> None:
    curves = curves_section(sample.roc(), None)["curves"]
    assert [(point["number"], round(point["x"], 3), point["y"]) for point in curves[0]["points"]] == [
        (1, 0.1, 0.8),
        (2, 0.3, 0.9),
    ]
    assert curves[1]["points"] == []


def test_a_second_model_stands_on_the_curve_of_the_same_name(sample) -> None:
    section = curves_section(sample.roc(), sample.comparison())
    assert section["names"] == ("new <i>model</i>", "old model")
    assert [curve["other"] is not None for curve in section["curves"]] == [True, False]


def test_results_without_curves_have_no_section(sample) -> None:
    assert curves_section(sample.multilabel(), None) is None
