import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import medpipe
from medpipe.data import DATASET_READERS
from medpipe.data.lookalikes import LOOKALIKES
from medpipe.data.manifests import list_manifests, load_manifest, manifests_folder
from medpipe.data.nih_chestxray14 import FINDINGS
from medpipe.errors import InputDataError, RequestError


@pytest.mark.parametrize("name", list_manifests())
def test_every_manifest_follows_the_schema_and_names_what_exists(name: str) -> None:
    manifest = load_manifest(name)
    assert manifest["name"] == name
    assert manifest["reader"] is None or manifest["reader"] in DATASET_READERS
    assert manifest["lookalike"] is None or manifest["lookalike"] in LOOKALIKES


def test_every_reader_has_a_manifest() -> None:
    assert set(DATASET_READERS) <= set(list_manifests())


def test_the_schema_is_a_schema() -> None:
    schema = json.loads((manifests_folder() / "schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)


def counts(name: str) -> dict[str, int]:
    return {key: count["value"] for key, count in load_manifest(name)["counts"].items()}


def test_the_counts_of_siim_acr_add_up() -> None:
    here = counts("siim_acr")
    assert here["negatives"] + here["positives"] == here["images"]
    assert here["negatives"] + here["masks"] == here["rows"]


def test_the_counts_of_nih_chestxray14_add_up() -> None:
    here = counts("nih_chestxray14")
    assert here["train_val_images"] + here["test_images"] == here["images"]
    assert here["train_val_patients"] + here["test_patients"] == here["patients"]
    assert sum(value for key, value in here.items() if key.startswith("boxes_")) == here["boxes"]
    assert tuple(load_manifest("nih_chestxray14")["labels"].values()) == FINDINGS
    assert set(FINDINGS) <= set(here)


def test_the_training_scans_of_the_registration_papers_add_up() -> None:
    tasks = {name: counts(f"msd_{name}") for name in ("task03_liver", "task07_pancreas", "task08_hepaticvessel")}
    vessels, pancreas = (sum(tasks[name].values()) for name in ("task08_hepaticvessel", "task07_pancreas"))
    assert (vessels, pancreas, tasks["task03_liver"]["test"]) == (443, 420, 70)
    hospital = 92  # BFH, which has no manifest of its own
    for name in ("rcn_sliver", "rcn_lits", "rcn_lspig"):
        assert counts(name)["training"] == vessels + pancreas + tasks["task03_liver"]["test"] + hospital
    assert counts("rcn_lits")["test"] == counts("lits")["labelled"] == tasks["task03_liver"]["labelled"]
    assert counts("rcn_lpba")["training"] == sum(counts(name)["volumes"] for name in ("adni", "abide", "adhd200"))
    assert counts("rcn_lpba")["test"] == counts("lpba40")["labelled"] - 1  # without the atlas


def test_an_unknown_name_brings_the_nearest() -> None:
    with pytest.raises(RequestError, match="did you mean siim_acr"):
        load_manifest("siim-acr")


def test_an_installed_package_brings_its_own_manifests(tmp_path: Path, monkeypatch: Any) -> None:
    package = tmp_path / "site" / "medpipe"
    package.mkdir(parents=True)
    monkeypatch.setattr(medpipe, "__file__", str(package / "__init__.py"))
    assert manifests_folder() == tmp_path / "site" / "data_manifests"
    (package / "_resources" / "data_manifests").mkdir(parents=True)
    assert manifests_folder() == package / "_resources" / "data_manifests"
    assert list_manifests() == []


def test_a_manifest_against_the_schema_is_refused_with_the_place(tmp_path: Path, monkeypatch: Any) -> None:
    manifest = load_manifest("siim_acr")
    manifest["access"]["registration"] = "yes"
    (tmp_path / "siim_acr.yaml").write_text(yaml.safe_dump(manifest))
    (tmp_path / "schema.json").write_bytes((manifests_folder() / "schema.json").read_bytes())
    monkeypatch.setattr("medpipe.data.manifests.manifests_folder", lambda: tmp_path)
    with pytest.raises(InputDataError, match=r"access\.registration"):
        load_manifest("siim_acr")
