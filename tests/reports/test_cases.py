from __future__ import annotations

from medpipe.reports.cases import cases_section


def order(section: dict) -> list[tuple[str, str]]:
    return [
        (row[0], outcome) for row, outcome in zip(section["data"]["rows"], section["data"]["outcomes"], strict=True)
    ]


def test_outcomes_go_by_the_first_threshold_set_beforehand(sample, tmp_path) -> None:
    results = sample.roc()
    results["operating_points"] = [
        {**sample.point("Chosen", (0.9,), (0.9,), preset=False), "threshold": 0.9},
        {**sample.point("Fixed", (0.9,), (0.9,)), "threshold": 0.5},
    ]
    results["cases"] = [
        sample.case(0, True, 0.5),
        sample.case(1, True, 0.49),
        sample.case(2, False, 0.5),
        sample.case(3, False, 0.49),
        sample.case(4, True, 0.1),
        sample.case(5, False, 0.8),
    ]
    assert order(cases_section(tmp_path, [], results)) == [
        ("case004", "miss"),
        ("case001", "miss"),
        ("case005", "false positive"),
        ("case002", "false positive"),
        ("case000", "right"),
        ("case003", "right"),
    ]


def test_marks_without_image_scores_are_judged_by_what_they_hit(sample, tmp_path) -> None:
    results = sample.localization()
    results["operating_points"] = []
    results["cases"] = [
        sample.case(0, True, None, lesions=2, found=2, false_positives=1),
        sample.case(1, True, None, lesions=2, found=1, false_positives=0),
        sample.case(2, True, None, lesions=2, found=0, false_positives=0),
        sample.case(3, False, None, lesions=0, found=0, false_positives=1, false_positive_ratings=[0.2]),
        sample.case(4, False, None, lesions=0, found=0, false_positives=1, false_positive_ratings=[0.7]),
        sample.case(5, False, None, lesions=0, found=0, false_positives=0),
    ]
    assert order(cases_section(tmp_path, [], results)) == [
        ("case002", "miss"),
        ("case001", "miss"),
        ("case004", "false positive"),
        ("case003", "false positive"),
        ("case000", "right"),
        ("case005", "right"),
    ]


def test_scores_without_a_threshold_are_not_judged(sample, tmp_path) -> None:
    results = sample.roc()
    results["operating_points"] = []
    section = cases_section(tmp_path, [], results)
    assert not section["judged"]
    assert "Outcome" not in section["data"]["columns"]
    truths = [row[section["data"]["columns"].index("Truth")] for row in section["data"]["rows"]]
    assert truths == ["diseased"] * 20 + ["not diseased"] * 40
    assert section["order"].startswith("diseased cases from the lowest score")


def test_a_reader_study_without_scores_of_cases_has_no_table(sample, tmp_path) -> None:
    assert cases_section(tmp_path, [], sample.mrmc()) is None


def test_several_labels_stand_by_the_lowest_score_of_a_label_that_is_there(sample, tmp_path) -> None:
    section = cases_section(tmp_path, [], sample.multilabel())
    assert [row[0] for row in section["data"]["rows"]] == ["case000", "case001", "case002", "case003"]
    assert section["data"]["rows"][1][1:] == ["nodule, effusion", "effusion 0.500, nodule 0.100, hernia 0.000"]


def test_cases_of_the_run_that_the_truth_does_not_list_come_last(sample, tmp_path) -> None:
    rows = [
        {"case": "extra", "status": "done", "score": "0.99", "marks": "2", "view": "PA", "rows": "10", "columns": "20"},
        {"case": "broken", "status": "failed", "score": "", "marks": ""},
    ]
    section = cases_section(tmp_path, rows, sample.roc())
    names = [row[0] for row in section["data"]["rows"]]
    assert "broken" not in names
    row = section["data"]["rows"][names.index("extra")]
    assert [row[section["data"]["columns"].index(name)] for name in ("Outcome", "Truth", "Marks", "Size")] == [
        "",
        "",
        2,
        "10 x 20",
    ]


def test_fifty_cases_are_printed(sample, tmp_path) -> None:
    section = cases_section(tmp_path, [], sample.roc())
    assert (len(section["printed"]), section["total"]) == (50, 60)
    assert [row["name"] for row in section["printed"]] == [row[0] for row in section["data"]["rows"][:50]]
