from __future__ import annotations

import json

import pytest

from medpipe.engines.training_folder import TrainingFolder, check_trained_with, trained_options
from medpipe.errors import AlreadyDoneError, RequestError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "list.json").write_text("{}")

    def make(**options: object) -> TrainingFolder:
        return TrainingFolder(
            tmp_path / "out", bundle="a_bundle", datalist=tmp_path / "list.json", options={"seed": 0, **options}
        )

    return make


def test_nothing_is_written_before_the_start(folder, tmp_path) -> None:
    folder()
    assert not (tmp_path / "out").exists()


def test_the_same_training_is_taken_up_again(folder, tmp_path) -> None:
    for _ in range(2):
        training = folder(sizes=(1, 2))
        training.start()
        training.close()
    note = json.loads((tmp_path / "out" / "training.json").read_text())
    assert note["identity"]["sizes"] == [1, 2]
    assert note["finished"] is None


def test_another_training_is_refused_by_what_differs(folder, tmp_path) -> None:
    first = folder(max_epochs=3)
    first.start()
    first.close()
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(RequestError, match=r"another training: max_epochs was 3 and is 4;"):
        folder(max_epochs=4).start()
    (tmp_path / "list.json").write_text("{ }")
    with pytest.raises(RequestError, match="datalist_sha256"):
        folder(max_epochs=3).start()
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_finished_training_is_said_to_be_finished(folder) -> None:
    first = folder()
    first.start()
    first.finish()
    with pytest.raises(AlreadyDoneError, match="is finished"):
        folder().start()
    with pytest.raises(RequestError, match="another training"):
        folder(seed=1).start()


def test_one_training_at_a_time_may_use_a_folder(folder) -> None:
    first = folder()
    first.start()
    with pytest.raises(RequestError, match="in use by another training"):
        folder().start()
    first.close()
    folder().start()


def test_a_folder_that_holds_anything_else_is_refused(folder, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").touch()
    with pytest.raises(RequestError, match="not empty"):
        folder().start()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old.txt"]


def test_what_a_kill_left_half_written_is_removed(folder, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    half = tmp_path / "out" / ".training.json.abc.part"
    half.write_text("{")
    folder().start()
    assert not half.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"format": "else"}'])
def test_a_damaged_note_is_refused(folder, tmp_path, content) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "training.json").write_text(content)
    with pytest.raises(RequestError, match=r"training\.json"):
        folder().start()


def test_weights_beside_a_training_with_other_options_are_refused(tmp_path) -> None:
    (tmp_path / "training.json").write_text(json.dumps({"identity": {"repeats": 1, "seed": 0}}))
    check_trained_with(tmp_path / "model.pt", repeats=1)
    check_trained_with(tmp_path / "model.pt", unknown_to_it=7)
    with pytest.raises(RequestError, match="trained with repeats=1, and this run has repeats=3; give repeats=1"):
        check_trained_with(tmp_path / "model.pt", repeats=3)


def test_weights_without_a_training_beside_them_are_taken_as_they_are(tmp_path) -> None:
    check_trained_with(None, repeats=3)
    check_trained_with(tmp_path / "model.pt", repeats=3)
    (tmp_path / "training.json").write_text("[]")
    check_trained_with(tmp_path / "model.pt", repeats=3)


def test_options_of_the_training_beside_weights_come_before_defaults(folder, tmp_path) -> None:
    training = folder(hidden=8, features=None)
    training.start()
    training.close()
    weights = tmp_path / "out" / "model.pt"
    defaults = {"hidden": 1024, "features": 64, "new": "x"}
    assert trained_options(weights, **defaults) == {"hidden": 8, "features": None, "new": "x"}
    assert trained_options(tmp_path / "model.pt", **defaults) == defaults
    assert trained_options(None, **defaults) == defaults
    (tmp_path / "out" / "training.json").write_text("[]")
    assert trained_options(weights, **defaults) == defaults
