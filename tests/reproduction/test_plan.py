"""reproduce.yaml: what it may say, which runs it asks for, and what is told where it is wrong."""

from __future__ import annotations

import math

import pytest

from medpipe.bundles import list_bundles, parse_overrides
from medpipe.errors import RequestError
from medpipe.reproduction.commands import Request
from medpipe.reproduction.generated import check_recipe
from medpipe.reproduction.plan import CONFIG, Plan, load_plan, option_texts

OURS = [bundle for bundle in list_bundles() if (bundle.root / CONFIG).is_file()]


def names(plan: Plan, *tables: str, quick: bool = False, seeds: int = 1, **given) -> list[str]:
    base = Request(plan, quick, given).base
    return [f"{run.name}/{run.seed}" for run in plan.runs(plan.chosen(tables), base, seeds)]


@pytest.mark.parametrize("bundle", OURS, ids=lambda bundle: bundle.name)
def test_what_our_bundles_ask_for_is_sound(bundle) -> None:
    plan = load_plan(bundle)
    assert plan.runs(plan.chosen([]), Request(plan, True, {}).base, plan.seeds)
    assert plan.quick is not None
    check_recipe(plan.quick)
    for table in plan.tables:
        for setting in table.settings:
            for found in setting.published.values():
                assert 0 < found.mean < 1
                assert found.sd is None or 0 < found.sd < 0.2


def test_the_published_numbers_of_the_pneumothorax_bundle_are_those_of_the_paper() -> None:
    plan = load_plan(next(bundle for bundle in OURS if bundle.name == "cxr_pneumothorax_acm"))
    tables = {table.name: {one.name: one.published for one in table.settings} for table in plan.tables}
    percent = {
        (table, name): tuple(round(100 * found[metric].mean, 2) for metric in ("AUC", "JAFROC"))
        for table, settings in tables.items()
        for name, found in settings.items()
        if found
    }
    full = (95.35, 94.16)
    assert percent == {
        **{("modules", "none"): (86.78, 81.84), ("modules", "se"): (93.05, 89.19), ("modules", "nl"): (94.63, 91.93)},
        **{("modules", "cc"): (87.73, 83.32), ("modules", "acm"): full},
        **{("parts", "none"): (86.78, 81.84), ("parts", "x_plus_kq"): (94.25, 92.94), ("parts", "px"): (87.16, 82.05)},
        **{("parts", "p_x_plus_k"): (94.96, 93.59), ("parts", "full"): full},
        **{("groups", "2"): (90.96, 88.79), ("groups", "8"): full, ("groups", "16"): (95.08, 93.73)},
        ("groups", "32"): (94.89, 92.88),
        **{("lambda", "0"): (95.11, 93.87), ("lambda", "0.01"): (95.29, 94.09), ("lambda", "0.1"): full},
        ("lambda", "1"): (95.30, 94.04),
        **{("groups_resnet50", "8"): (90.96, 88.79), ("groups_resnet50", "32"): full},
        **{("groups_resnet50", "64"): (95.08, 93.73), ("groups_resnet50", "128"): (94.89, 92.88)},
    }


def test_settings_that_are_the_same_are_run_once_and_those_of_the_main_question_first(make_bundle) -> None:
    plan = load_plan(make_bundle())
    assert names(plan, seeds=2) == [
        *("modules-none/0", "modules-acm/0", "modules-none/1", "modules-acm/1"),
        *("groups-2/0", "groups-2/1"),
    ]


def test_a_shared_run_has_one_folder_and_the_same_options_whichever_table_is_asked_for(make_bundle) -> None:
    plan = load_plan(make_bundle())
    assert names(plan, "groups") == ["modules-acm/0", "groups-2/0"]
    base = Request(plan, False, {}).base
    assert plan.runs(plan.chosen(["groups"]), base, 1)[0] == plan.runs(plan.chosen(["modules"]), base, 1)[1]


def test_which_settings_are_the_same_depends_on_the_options_that_are_given(make_bundle) -> None:
    plan = load_plan(make_bundle())
    assert names(plan, "modules", "groups", groups=8) == ["modules-none/0", "modules-acm/0", "groups-4/0", "groups-2/0"]


def test_a_table_that_must_be_named_is_run_when_named_alone(make_bundle) -> None:
    plan = load_plan(make_bundle())
    assert [table.name for table in plan.chosen([])] == ["modules", "groups"]
    assert [table.name for table in plan.chosen(["rates"])] == ["rates"]


def test_tables_come_in_the_order_of_the_file(make_bundle) -> None:
    assert [table.name for table in load_plan(make_bundle()).chosen(["groups", "modules"])] == ["modules", "groups"]


def test_an_unknown_table_names_the_nearest(make_bundle) -> None:
    with pytest.raises(RequestError, match="no table 'modlues'; did you mean modules"):
        load_plan(make_bundle()).chosen(["modlues"])


def test_a_bundle_without_the_file_says_so(make_bundle) -> None:
    bundle = make_bundle()
    (bundle.root / CONFIG).unlink()
    with pytest.raises(RequestError, match=r"has no configs/reproduce\.yaml"):
        load_plan(bundle)


def _setting(content, **changes):
    content["tables"]["modules"]["settings"]["acm"].update(changes)


def _table(content, **changes):
    content["tables"]["modules"].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(seeds=0), r"reproduce\.yaml', seeds: 0 is less than the minimum"),
        (lambda c: c.update(sedes=1), "the whole: Additional properties are not allowed .*sedes"),
        (lambda c: c.pop("paper"), "'paper' is a required property"),
        (lambda c: _table(c, reference="nun"), "tables/modules/reference: no setting 'nun'"),
        (lambda c: _table(c, claim="amc"), "tables/modules/claim: no setting 'amc'"),
        (lambda c: _setting(c, options={"contxt": "se"}), "settings/acm/options: the config has no 'contxt'; did you mean context"),
        (lambda c: _setting(c, options={"groups": "many"}), "settings/acm/options: .*must be a whole number"),
        (lambda c: _setting(c, options={"seed": 3}), "'seed' is set by the command itself"),
        (lambda c: _setting(c, published={"JAFROK": [0.5]}), "no metric 'JAFROK'"),
        (lambda c: _setting(c, published={"AUC": ["high"]}), "published/AUC/0: 'high' is not of type 'number'"),
        (lambda c: c["evaluate"].update(rate=1), "evaluate: the config has no 'rate'"),
        (lambda c: c["quick"].update(split=[1, 0]), "quick/split"),
        (lambda c: c["quick"]["evaluate"].update({"rule.tolerence": 1}), "did you mean rule.tolerance"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_told_with_its_place(make_bundle, reproduce_content, change, message) -> None:
    change(reproduce_content)
    for key in ("paper", "seeds"):
        reproduce_content.setdefault(key, None)
    with pytest.raises(RequestError, match=message):
        load_plan(make_bundle(**reproduce_content))


@pytest.mark.parametrize("value", ["acm", "0.1", "true", "", "a b", "null", 3, 0.1, 1e-7, True, False])
def test_options_are_read_back_as_they_were(value) -> None:
    config = {"x": {"text": "t", "int": 1, "float": 0.5, "bool": True}[_kind(value)]}
    (found,) = parse_overrides(option_texts({"x": value}), config).values()
    assert found == value
    assert type(found) is type(value)


def _kind(value: object) -> str:
    return {bool: "bool", int: "int", float: "float", str: "text"}[type(value)]


def test_a_published_number_without_a_deviation_has_none(make_bundle) -> None:
    acm = load_plan(make_bundle()).tables[0].settings[1]
    assert (acm.published["AUC"].mean, acm.published["AUC"].sd) == (0.9, None)
    assert math.isclose(load_plan(make_bundle()).tables[0].settings[0].published["AUC"].sd or 0, 0.01)
