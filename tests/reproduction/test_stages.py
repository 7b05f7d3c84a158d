"""Trainings that come before others: once a seed, for all settings that start from them; with a runner that trains nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
import yaml

from medpipe.cli.main import invoke
from medpipe.errors import RequestError
from medpipe.reproduction.commands import Data, check_given, stage_command
from medpipe.reproduction.folder import ReproductionFolder, configs_digest
from medpipe.reproduction.plan import load_plan
from medpipe.reproduction.runs import do_runs

AREAS = {"none": 0.7, "acm": 0.9}
STAGES = {
    "maml": {
        "title": "meta-learning",
        "config": "train_maml",
        "option": "start",
        "shares": ["groups"],
        "data": {"meta": "meta/train"},
        "options": {"rounds": 5},
    }
}


@pytest.fixture
def staged(make_bundle, reproduce_content):
    """Function that makes the small bundle with a stage, from which the setting acm starts."""

    def make(*, settings=None, **changes):
        tables = reproduce_content["tables"]
        tables["modules"]["settings"]["acm"]["after"] = ["maml"]
        tables["modules"]["settings"] |= settings or {}
        recipe = reproduce_content["quick"]
        quick = recipe if "stages" in changes else {**recipe, "stages": {"maml": {"rounds": 1}}}
        bundle = make_bundle(**{"tables": tables, "stages": STAGES, "quick": quick, **changes})
        configs = bundle.root / "configs"
        train = yaml.safe_load((configs / "train.yaml").read_text())
        (configs / "train.yaml").write_text(yaml.safe_dump({**train, "start": None}))
        (configs / "train_maml.yaml").write_text("meta: data\nrounds: 9\n")
        return bundle

    return make


@pytest.fixture
def go(staged, request_of, tmp_path):
    """Function that does the runs of the table modules."""

    def run(runner, seeds: int = 1, jobs: int = 1, **changes):
        request = replace(request_of(bundle=staged(**changes)), given_stages={})
        folder = ReproductionFolder(tmp_path / "out", {})
        folder.start()
        runs = request.plan.runs(request.plan.chosen(["modules"]), request.base, seeds)
        return do_runs(runs, request, Data(Path("/d"), Path("/d/list.json")), folder, runner, jobs=jobs)

    return run


def test_a_stage_comes_before_what_starts_from_it_and_gives_its_weights(go, fake_runner, tmp_path) -> None:
    runner = fake_runner(AREAS)
    assert [one.reason for one in go(runner)] == [None, None]
    places = ["modules-none/0", "modules-none/0", "maml/0", "modules-acm/0", "modules-acm/0"]
    assert [place for _, place in runner.asked] == places
    stage, training, evaluation = runner.commands[2:]
    assert stage[5:] == [
        *("--config", "train_maml", "groups=4", "meta=/d/meta/train", "rounds=5", "seed=0"),
        *("-o", str(tmp_path / "out" / "runs" / "maml" / "0" / "train")),
    ]
    assert f"start={tmp_path}/out/runs/maml/0/train/model.pt" in training
    assert not any(word.startswith("start=") for word in [*runner.commands[0], *evaluation])


def test_settings_share_the_stage_of_their_seed(go, fake_runner) -> None:
    again = {"again": {"options": {"context": "acm", "rate": 0.5}, "after": ["maml"]}}
    runner = fake_runner(AREAS)
    assert [one.reason for one in go(runner, seeds=2, jobs=3, settings=again)] == [None] * 6
    assert sorted(place for mode, place in runner.asked if place.startswith("maml")) == ["maml/0", "maml/1"]
    second = fake_runner(AREAS)
    go(second, seeds=2, settings=again)
    assert second.commands == []


def test_the_same_options_with_and_without_a_stage_are_two_runs(go, fake_runner) -> None:
    runner = fake_runner(AREAS)
    go(runner, settings={"scratch": {"options": {"context": "acm"}}})
    assert ("train", "modules-scratch/0") in runner.asked


def test_what_starts_from_a_failed_stage_fails_with_its_reason_and_the_others_go_on(go, fake_runner) -> None:
    again = {"again": {"options": {"context": "acm", "rate": 0.5}, "after": ["maml"]}}
    runner = fake_runner(AREAS, {("--config", "train_maml"): 2})
    reasons = [one.reason for one in go(runner, settings=again)]
    assert reasons[0] is None
    assert reasons[1:] == ["stage maml: train ended with code 2: error: the disk is made of cheese"] * 2
    assert [place for _, place in runner.asked].count("maml/0") == 1


def test_a_stage_is_done_by_one_where_two_wait_for_it(go, fake_runner) -> None:
    runner, begun = fake_runner(AREAS), Event()

    class Slow(type(runner)):
        def __call__(self, words, log):
            if "--config" in words:
                assert not begun.is_set()
                begun.set()
                Event().wait(0.2)
            return super().__call__(words, log)

    again = {"again": {"options": {"context": "acm", "rate": 0.5}, "after": ["maml"]}}
    outcomes = go(Slow(AREAS), jobs=3, settings=again)
    assert [one.reason for one in outcomes] == [None] * 3


def test_quick_and_given_options_of_stages_come_before_those_of_the_plan(staged, request_of) -> None:
    data = Data(Path("/d"), Path("/d/list.json"))
    request = request_of(bundle=staged(), quick=True, groups=8)
    stage = request.plan.stages["maml"]
    assert request.stage_options(stage, data) == {"groups": 8, "meta": "/d/meta/train", "rounds": 1}
    given = replace(request, given_stages={"maml": {"meta": "/m", "rounds": 2}})
    assert given.stage_options(stage, data) == {"groups": 8, "meta": "/m", "rounds": 2}


def test_a_stage_may_be_a_training_of_another_bundle(staged, request_of) -> None:
    stage = {"title": "x", "bundle": "radiology_vqa_mevf", "config": "train_cdae", "option": "start"}
    request = request_of(bundle=staged(stages={"maml": {**stage, "options": {"max_epochs": 7}}}))
    words = stage_command(request, request.plan.stages["maml"], 3, Data(Path("/d"), Path("/d/l.json")), Path("/o"))
    assert words[3:] == [
        "train",
        "radiology_vqa_mevf",
        "--config",
        "train_cdae",
        "max_epochs=7",
        "seed=3",
        "-o",
        "/o/train",
    ]


def test_what_a_stage_learns_from_must_be_there_before_the_first_run(staged, request_of, tmp_path) -> None:
    request = request_of(bundle=staged())
    runs = request.plan.runs(request.plan.chosen(["modules"]), request.base, 1)
    data = Data(tmp_path, tmp_path / "list.json")
    with pytest.raises(RequestError, match=r"stage 'maml': '.*meta/train' does not exist; give maml.meta=PATH"):
        request.check_stages(runs, data)
    request.check_stages([run for run in runs if not run.after], data)
    (tmp_path / "meta" / "train").mkdir(parents=True)
    request.check_stages(runs, data)


def test_another_config_of_a_stage_gives_another_digest(staged) -> None:
    plan = load_plan(staged())
    before = configs_digest(plan.bundle, plan.stages.values())
    (plan.bundle.root / "configs" / "train_maml.yaml").write_text("meta: data\nrounds: 10\n")
    assert configs_digest(plan.bundle, plan.stages.values()) != before


def test_the_option_that_a_stage_gives_is_not_free(staged) -> None:
    with pytest.raises(RequestError, match="'start' is what stage 'maml' gives; leave it out"):
        check_given(load_plan(staged()), {"start": "x"}, set())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"option": "strt"}, "stages/maml/option: the config has no 'strt'; did you mean start"),
        ({"data": {"mta": "x"}}, "stages/maml/data: the config has no 'mta'; did you mean meta"),
        ({"options": {"seed": 1}}, "stages/maml/options: 'seed' is set by the command itself"),
        ({"shares": ["rounds"]}, "stages/maml/shares: no option 'rounds'"),
        ({"config": "train_mml"}, "has no config 'train_mml'; it has"),
        ({"file": 3}, "stages/maml/file: 3 is not of type 'string'"),
        ({"shares": ["context"]}, "settings/acm/options: 'context' is shared with stage 'maml'"),
    ],
)
def test_a_wrong_stage_is_told_with_its_place(staged, change, message) -> None:
    with pytest.raises(RequestError) as caught:
        load_plan(staged(stages={"maml": {**STAGES["maml"], **change}}))
    assert message in str(caught.value)


def test_a_stage_that_is_not_there_is_told(staged) -> None:
    with pytest.raises(RequestError, match=r"settings/x/after: no stage 'cdae'; there are \['maml'\]"):
        load_plan(staged(settings={"x": {"options": {}, "after": ["cdae"]}}))


def test_the_command_shows_stages_with_their_options(capsys, tmp_path) -> None:
    words = ["reproduce", "radiology_vqa_mevf", "--quick", "--dry-run", "--seeds", "1", "-o", str(tmp_path / "out")]
    assert invoke([*words, "maml.max_epochs=3", "features=8"]) == 0
    said = capsys.readouterr().out
    line = next(line for line in said.splitlines() if line.startswith("stage  maml, once a seed: "))
    assert "max_epochs=3" in line
    assert "features=8" in line
    assert "ban-mevf, seed 0: encoders=both (after maml, cdae)" in said


def test_the_command_shows_the_stages_of_the_first_run_before_it(capsys, tmp_path) -> None:
    out = tmp_path / "out"
    assert invoke(["reproduce", "radiology_vqa_mmq", "--quick", "--dry-run", "--seeds", "1", "-o", str(out)]) == 0
    stage, training, _ = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  medpipe ")]
    assert stage.startswith("  medpipe train radiology_vqa_mmq --config train_meta ")
    assert stage.endswith(f" -o {out}/runs/first/0/train")
    assert f" pretrained_meta={out}/runs/first/0/train/model.pt " in training


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("maml.max_epoch=3", "did you mean max_epochs"),
        ("maml.seed=3", "'maml.seed' is set by reproduce itself"),
        ("maml.features=3", "'maml.features' is the same as in the training; give features= alone"),
        ("mml.max_epochs=3", "no 'mml.max_epochs'"),
        ("pretrained_maml=x", "'pretrained_maml' is what stage 'maml' gives"),
    ],
)
def test_wrong_options_of_stages_are_told(word, message, capsys, tmp_path) -> None:
    assert invoke(["reproduce", "radiology_vqa_mevf", "--quick", word, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
