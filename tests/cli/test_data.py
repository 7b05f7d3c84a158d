"""medpipe data check, prepare and synth on registration data sets."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medpipe.cli.main import invoke
from medpipe.data.registration_datalist import load_registration_datalist
from medpipe.data.teacher_fields import read_teacher_field


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "set"
    options = ["--cases", "4", "--seed", "1", "--size", "16", "--workers", "1", "--anatomy", "brain", "--same-contrast"]
    assert invoke(["data", "synth", "registration_phantoms", str(out), *options]) == 0
    return out


def test_generated_volumes_are_written_with_the_options_given(phantoms: Path) -> None:
    marker = json.loads((phantoms / "LOOKALIKE.json").read_text())
    assert {key: marker[key] for key in ("cases", "seed", "size", "anatomy", "same_contrast")} == {
        **{"cases": 4, "seed": 1, "size": 16, "anatomy": "brain", "same_contrast": True}
    }


def test_a_registration_set_is_checked_and_prepared(phantoms: Path, tmp_path: Path, capsys) -> None:
    assert invoke(["data", "check", "registration_phantoms", str(phantoms), "--json"]) == 0
    assert [finding["code"] for finding in json.loads(capsys.readouterr().out)] == ["look_alike"]
    out = tmp_path / "d.json"
    assert invoke(["data", "prepare", "registration_phantoms", str(phantoms), "-o", str(out), "--json"]) == 0
    assert sum(json.loads(capsys.readouterr().out)["images"].values()) == 3
    datalist = load_registration_datalist(out)
    assert datalist["pairs"]["training"] == {"how": "atlas", "fixed": "phantom_0001"}


def test_a_set_with_errors_is_not_prepared_and_says_what_to_mend(tmp_path: Path, capsys) -> None:
    root = tmp_path / "lits"
    root.mkdir()
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2, 2), np.uint8), np.eye(4)), root / "volume-0.nii")
    assert invoke(["data", "check", "lits", str(root)]) == 2
    assert "not_3d" in capsys.readouterr().out
    assert invoke(["data", "prepare", "lits", str(root), "-o", str(tmp_path / "d.json")]) == 2
    assert "mend this first" in capsys.readouterr().err
    assert not (tmp_path / "d.json").exists()


def test_published_pickles_are_imported_and_hostile_ones_refused(tmp_path: Path, capsys) -> None:
    shard, out = tmp_path / "1.pkl", tmp_path / "fields"
    shard.write_bytes(pickle.dumps({"a-b": np.zeros((2, 3, 4, 3), np.float16)}))
    assert invoke(["data", "import-fields", str(shard), "-o", str(out)]) == 0
    assert read_teacher_field(out / "a-b.npz").shape == (3, 2, 3, 4)
    shard.write_bytes(pickle.dumps(eval))
    assert invoke(["data", "import-fields", str(shard), "-o", str(tmp_path / "other")]) == 2
    assert "1.pkl: refused: it names 'builtins.eval'" in capsys.readouterr().err
    assert invoke(["data", "import-fields", str(tmp_path / "2.pkl"), "-o", str(tmp_path / "more")]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["siim_acr", "{tmp}/x", "--anatomy", "liver"], "the look-alike of siim_acr takes no --anatomy"),
        (["siim_acr", "{tmp}/x", "--same-contrast"], "takes no --same-contrast"),
        (["siim_acr", "{tmp}/x", "--size", "16"], "expected at least 1 case, a size from 64 to 4096"),
        (["registration_phantom", "{tmp}/x"], "did you mean registration_phantoms"),
        (["registration_phantoms", "{tmp}/x", "--anatomy", "knee"], "expected 1 to 9999 cases, liver or brain"),
        (["registration_phantoms", "{tmp}/x", "--size", "1000"], "expected 16 to 256"),
    ],
)
def test_a_wrong_request_for_generated_data_touches_nothing(arguments, message, tmp_path, capsys) -> None:
    assert invoke(["data", "synth", *(argument.format(tmp=tmp_path) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_questions_go_from_a_look_alike_to_a_datalist_by_image_or_as_published(tmp_path, capsys) -> None:
    root, out = tmp_path / "set", tmp_path / "list.json"
    assert invoke(["data", "synth", "vqa_rad", str(root), "--cases", "18", "--size", "64", "--workers", "1"]) == 0
    assert invoke(["data", "prepare", "vqa_rad", str(root), "-o", str(out), "--split", "image-disjoint"]) == 0
    datalist = json.loads(out.read_text())
    assert (datalist["task"], datalist["generated"]) == ("vqa", True)
    assert datalist["split"].startswith("by image")
    capsys.readouterr()
    again = ["data", "prepare", "vqa_rad", str(root), "-o", str(tmp_path / "b.json"), "--split", "published", "--json"]
    assert invoke(again) == 0
    assert json.loads(capsys.readouterr().out)["questions"] == {"training": 78, "validation": 0, "test": 0}
    assert invoke(["data", "check", "vqa_rad", str(root)]) == 0


def test_images_are_annotated_from_questions_or_folders_into_a_manifest_with_counts(tmp_path, capsys) -> None:
    root = tmp_path / "set"
    assert invoke(["data", "synth", "vqa_rad", str(root), "--cases", "18", "--size", "64", "--workers", "1"]) == 0
    prepare = ["data", "prepare", "vqa_rad", str(root), "-o", str(root / "datalist.json"), "--split", "published"]
    assert invoke(prepare) == 0
    capsys.readouterr()
    annotate = ["data", "annotate", str(root / "datalist.json"), "--unlabelled", str(root / "unlabeled")]
    assert invoke([*annotate, "-o", str(root / "meta.json"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == dict.fromkeys(sorted(found["classes"]), 2)
    assert (len(found["classes"]), found["without_class"]) == (9, {"no question": 18})
    assert invoke(["data", "annotate", str(root), "-o", str(tmp_path / "folders.json")]) == 0
    assert "18  without a class: folder without classes" in capsys.readouterr().err
    assert "root" not in json.loads((root / "meta.json").read_text())
    (empty := root / "empty").mkdir()
    for arguments, message in (
        ([str(root), "-o", str(root / "meta.json")], "exists; name a new file"),
        ([str(tmp_path / "none"), "-o", str(tmp_path / "a.json")], "is not a folder"),
        ([str(root), "--unlabelled", str(root), "-o", str(tmp_path / "a.json")], "go with a datalist"),
        ([str(root / "images"), "-o", str(tmp_path / "a.json")], "holds no folders of classes"),
        ([str(root / "datalist.json"), "--unlabelled", str(empty), "-o", str(tmp_path / "a.json")], "no pictures"),
    ):
        assert invoke(["data", "annotate", *arguments]) == 2
        assert message in capsys.readouterr().err
