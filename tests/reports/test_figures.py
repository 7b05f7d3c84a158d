from __future__ import annotations

from medpipe.reports.figures import headline_section, multilabel_section, subgroups_section
from medpipe.reports.notes import Notes, definition_sentence, joined


def test_all_figures_are_drawn_on_one_scale_that_holds_their_intervals(sample) -> None:
    scale = headline_section(sample.roc())["scale"]
    assert scale.low <= 0.6
    assert scale.high >= 0.97


def test_subgroups_of_two_figures_make_two_tables(sample) -> None:
    results = sample.roc()
    results["subgroups"].append({**sample.subgroup("sex", ("F", "M")), "figure": "wAFROC"})
    first, second = subgroups_section(results)["tables"]
    assert [variable["variable"] for variable in first["variables"]] == ["sex", "site"]
    assert first["overall"]["value"] == 0.9
    assert second["figure"] == "wAFROC"
    assert second["overall"] is None  # not among the main figures


def test_subgroup_methods_leave_out_the_number_of_patients_of_each_group(sample) -> None:
    results = sample.roc()
    for n, row in enumerate(results["subgroups"][0]["groups"]):
        row["figure"]["method"] = f"structural components, normal interval, {n + 5} patients"
    assert subgroups_section(results)["tables"][0]["methods"][0] == "structural components, normal interval"


def test_classes_are_sorted_and_undefined_ones_keep_their_reason(sample) -> None:
    section = multilabel_section(sample.multilabel())
    assert [row["name"] for row in section["classes"]] == ["effusion", "nodule"]
    assert section["undefined"] == [{"name": "hernia", "reason": "one class is missing"}]


def test_notes_say_each_definition_and_each_method_once(sample) -> None:
    figures = [sample.figure("a", 1.0), sample.figure("b", 1.0), sample.figure("c", None)]
    figures[1]["definition"] = figures[0]["definition"]
    figures[2]["method"] = "another"
    notes = Notes(figures)
    assert notes.definitions == ["a and b: what a means.", "c: what c means."]
    assert [names for _, names in notes.methods] == ["a and b", "c"]
    assert notes.reasons == [("c", "one class is missing")]


def test_a_definition_that_begins_with_the_name_does_not_repeat_it() -> None:
    assert definition_sentence("Brier score", "mean squared difference") == "Brier score: mean squared difference."
    assert definition_sentence("AFROC", "AFROC figure of merit") == "AFROC figure of merit."


def test_names_with_commas_are_kept_apart_by_semicolons() -> None:
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert joined(["a, x", "b", "c"]) == "a, x; b and c"
    assert joined([]) == ""
