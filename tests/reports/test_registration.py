"""The sections of a registration: tables, strips of pairs, and pictures."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from medpipe.evaluation.registration_measures import PROTOCOLS
from medpipe.reports.comparison import comparison_section
from medpipe.reports.methods import methods_section
from medpipe.reports.registration import registration_section
from medpipe.reports.registration_pairs import registration_pairs_section


def write_pictures(folder: Path, results: dict) -> None:
    """A picture of its own colour for every kind."""
    colours = {"fixed": "red", "before": "blue", "after": "lime", "grid": "white"}
    for pair in results["registration"]["pictures"]:
        for plane in pair["planes"]:
            for kind, name in plane["files"].items():
                (folder / name).parent.mkdir(exist_ok=True)
                Image.new("RGB", (60, 80), colours[kind]).save(folder / name, "JPEG")


def test_other_tasks_have_no_such_section(sample, tmp_path) -> None:
    assert registration_section(sample.roc()) is None
    assert registration_pairs_section(tmp_path, sample.roc()) is None


def test_each_measure_of_structures_has_a_table_with_the_structures_that_have_it(sample) -> None:
    tables = registration_section(sample.registration())["tables"]
    assert [[row["name"] for row in table["rows"]] for table in tables] == [["anterior", "posterior"], ["posterior"]]


def test_strips_hold_a_mark_per_pair_with_a_value_and_their_quartiles(sample) -> None:
    table = registration_section(sample.registration())["tables"][0]
    anterior, posterior = (row["strips"] for row in table["rows"])
    scale = table["scale"]
    assert anterior["after"]["dots"] == [scale.at(value) for value in (0.6, 0.7, 0.8, 0.9)]
    assert anterior["after"]["box"]["quartiles"] == [scale.at(value) for value in (0.675, 0.75, 0.825)]
    assert anterior["after"]["box"]["ends"] == (scale.at(0.6), scale.at(0.9))
    assert len(posterior["after"]["dots"]) == 3
    assert len(posterior["before"]["dots"]) == 4


def test_pairs_stand_from_the_worst_and_those_without_a_value_last(sample) -> None:
    results = sample.registration()
    results["cases"][0]["after"]["dice"] = None
    pairs = registration_section(results)["pairs"]
    assert [row["case"] for row in pairs["rows"]] == ["pair 3", "pair 2", "pair 1", "pair 0"]
    assert pairs["remarks"]


def test_the_page_shows_figures_before_and_after_and_escapes_remarks(sample, page_of) -> None:
    text = page_of(sample.registration()).read_text()
    for part in (
        "0.600",
        "0.800",
        "0.750 to 0.850",
        "1234.5",
        "anterior",
        "12 landmarks in all",
        "in none of the images: absent",
        "4 pairs of 5 subjects",
    ):
        assert part in text
    assert "&lt;i&gt;odd&lt;/i&gt;" in text
    assert "30 % quantile" not in text
    assert "30 % quantile" in page_of(sample.registration("l2r")).read_text()


def test_measures_of_a_comparison_share_no_scale(sample) -> None:
    section = comparison_section(sample.comparison(), "registration")
    assert section["differences"] is None
    assert section["unit"] == "pair"
    assert comparison_section(sample.comparison(), "roc")["differences"] is not None


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_methods_name_the_protocol_and_its_publication(sample, protocol) -> None:
    section = methods_section(None, sample.registration(protocol), None, {})
    assert "Registration was measured so: what the protocol does" in " ".join(section["paragraphs"])
    named = {"rcn": "Recursive cascaded", "l2r": "Learn2Reg", "medpipe": None}
    for key, words in named.items():
        if words:
            assert any(words in text for text in section["references"]) == (key == protocol)


def test_pictures_are_taken_into_the_page(sample, tmp_path) -> None:
    results = sample.registration()
    assert registration_pairs_section(tmp_path, results) is None  # none beside the results
    write_pictures(tmp_path, results)
    (pair,) = registration_pairs_section(tmp_path, results)["pairs"]
    assert pair["kinds"] == ["fixed", "before", "after", "grid"]
    assert len(pair["planes"]) == 3
    assert pair["values"][0] == {"name": "dice of it", "before": 0.65, "after": pytest.approx(0.6)}


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/hostname", "pictures/../../secret.jpg", "..\\secret.jpg"])
def test_a_picture_outside_the_folder_is_never_read(sample, tmp_path, name) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "JPEG")
    (tmp_path / "secret.jpg").write_bytes(stream.getvalue())
    folder = tmp_path / "out"
    (folder / "pictures").mkdir(parents=True)
    results = sample.registration()
    for plane in results["registration"]["pictures"][0]["planes"]:
        plane["files"] = {"fixed": name}
    assert registration_pairs_section(folder, results) is None


def test_what_is_no_jpeg_is_left_out(sample, tmp_path) -> None:
    results = sample.registration()
    write_pictures(tmp_path, results)
    (tmp_path / "pictures" / "1_axial_grid.jpg").write_text("<svg>")
    (pair,) = registration_pairs_section(tmp_path, results)["pairs"]
    assert "grid" not in pair["planes"][0]["pictures"]
    assert "grid" not in pair["kinds"]


@pytest.fixture
def viewer(sample, page_of, opened, tmp_path):
    """Function that opens the page with pictures."""

    def open_page(**options):
        results = sample.registration()
        write_pictures(tmp_path, results)
        return opened(page_of(results), **options).page

    return open_page


COLOUR = """([share]) => new Promise(done => {
  const stage = document.querySelector(".stage"), box = stage.getBoundingClientRect();
  const upper = stage.querySelector(".upper"), cut = getComputedStyle(upper).clipPath.match(/inset\\(0(?:px)? ([\\d.]+)%/);
  done(share * 100 < 100 - (cut ? Number(cut[1]) : 0) ? upper.alt : stage.querySelector(".lower").alt);
})"""


def seen_at(page, share: float) -> str:
    """Description of the picture that is seen at a part of the first stage's width."""
    return page.evaluate(COLOUR, [share]).split(", ", 2)[2]


def test_a_line_parts_the_fixed_from_the_registered_image_and_moves(viewer) -> None:
    page = viewer()
    assert (seen_at(page, 0.3), seen_at(page, 0.7)) == ("fixed", "moving, registered")
    page.locator(".line").focus()
    page.keyboard.press("End")
    assert seen_at(page, 0.7) == "fixed"
    page.keyboard.press("Home")
    assert seen_at(page, 0.3) == "moving, registered"


def test_dragging_on_the_picture_moves_the_line(viewer) -> None:
    page = viewer()
    stage = page.locator(".stage").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20)
    page.mouse.up()
    assert int(page.locator(".line").input_value()) == pytest.approx(90, abs=2)
    assert seen_at(page, 0.7) == "fixed"


def test_other_pictures_can_be_chosen_for_both_sides(viewer) -> None:
    page = viewer()
    page.get_by_label("Left").select_option("grid")
    page.get_by_label("Right").select_option("before")
    assert (seen_at(page, 0.3), seen_at(page, 0.7)) == ("grid", "moving, before")


def test_flicker_shows_one_then_the_other_slowly_and_can_be_stopped(viewer) -> None:
    page = viewer()
    page.clock.install()
    button = page.get_by_role("button", name="Flicker")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    seen = []
    for _ in range(4):
        page.clock.run_for(700)
        seen.append((seen_at(page, 0.05), seen_at(page, 0.95)))
    assert len(set(seen)) == 2
    assert all(left == right for left, right in seen)
    button.click()
    assert (seen_at(page, 0.3), seen_at(page, 0.7)) == ("fixed", "moving, registered")


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_pictures_do_not_widen_the_page_and_are_all_seen(viewer, width) -> None:
    page = viewer(width=width)
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.querySelectorAll('img')].every(one => one.naturalWidth > 0 && one.alt)")


def test_without_scripts_all_pictures_are_there_and_the_viewer_is_not(viewer) -> None:
    page = viewer(java_script_enabled=False)
    assert page.locator(".viewer").first.is_hidden()
    page.locator(".pair-pictures summary").first.click()
    assert page.locator(".strip img").first.is_visible()
    assert page.locator(".strip img").count() == 12
