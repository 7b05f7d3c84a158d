from __future__ import annotations

from medpipe.reports.cohort import cohort_section, grouped_reasons


def test_reasons_that_differ_in_names_and_numbers_alone_count_as_one() -> None:
    found = grouped_reasons(
        [
            "cut short (12 of 512 rows)",
            "cut short (99 of 512 rows)",
            "modality 'MR' is unknown",
            "cut short (1 of 2 rows)",
        ]
    )
    assert found == [("cut short (\u2026 of \u2026 rows)", 3), ("modality 'MR' is unknown", 1)]


def test_same_reasons_keep_their_words_and_rare_ones_are_summed_up() -> None:
    kinds = "abcdefgh"
    found = grouped_reasons(["row 3"] * 9 + [kind for kind in kinds for _ in range(2)])
    assert found[0] == ("row 3", 9)
    assert found[-1] == ("other reasons", 6)  # f, g and h
    assert sum(number for _, number in found) == 25


def test_the_flow_goes_from_files_to_done_and_from_listed_cases_to_both_classes(sample) -> None:
    rows = [
        {"case": "a", "status": "done", "reason": ""},
        {"case": "b", "status": "failed", "reason": "no pixels"},
        {"case": "c", "status": "skipped", "reason": "a report"},
    ]
    run, evaluation = cohort_section(rows, sample.localization())["flows"]
    assert [(step["n"], step["label"]) for step in run["steps"]] == [(3, "files found"), (1, "done")]
    assert [(part["label"], part["n"], part["reasons"]) for part in run["steps"][0]["out"]] == [
        ("skipped", 1, [("a report", 1)]),
        ("failed", 1, [("no pixels", 1)]),
    ]
    assert [step["n"] for step in evaluation["steps"]] == [63, 60]
    assert evaluation["steps"][0]["out"][0]["n"] == 3
    assert evaluation["steps"][1]["detail"] == ["55 patients", "30 lesions", "80 marks"]
    assert [part["n"] for part in evaluation["split"]] == [20, 40]
    assert evaluation["split"][0]["detail"][0] == "prevalence 33.3 % (20 of 60)"


def test_the_unit_of_analysis_says_whether_patients_have_several_cases(sample) -> None:
    results = sample.roc()
    assert "60 cases of 55 patients" in cohort_section([], results)["unit"]
    results["cohort"]["patients"] = 60
    assert "each of the 60 cases is of another patient" in cohort_section([], results)["unit"]
    assert "read by 2 readers in 2 modalities" in cohort_section([], sample.mrmc())["unit"]


def test_cases_of_several_classes_are_not_called_diseased(sample) -> None:
    (flow,) = cohort_section([], sample.multilabel())["flows"]
    assert [part["label"] for part in flow["split"]] == ["with at least one class", "with none of the classes"]
    assert flow["split"][0]["detail"] == ["33.3 % (20 of 60)"]


def test_nothing_gives_no_section() -> None:
    assert cohort_section([], None) is None
