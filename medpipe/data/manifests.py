"""Manifests: what a data set is, who grants access, how it lies on disk, and what was counted in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

import medpipe
from medpipe.errors import InputDataError, RequestError

from .names import nearest_names

__all__ = ["list_manifests", "load_manifest", "manifests_folder"]


def manifests_folder() -> Path:
    """The folder with the manifests: inside an installed package, beside it in a checkout."""
    package = Path(medpipe.__file__).parent
    installed = package / "_resources" / "data_manifests"
    return installed if installed.is_dir() else package.parent / "data_manifests"


def list_manifests() -> list[str]:
    """The names of all data sets that have a manifest, in order."""
    return sorted(path.stem for path in manifests_folder().glob("*.yaml"))


def load_manifest(name: str) -> dict[str, Any]:
    """Read one manifest and check it against ``schema.json``, which also says what the fields mean.

    Raises:
        RequestError: no data set has that name; the message lists the nearest ones.
        InputDataError: the file does not follow the schema.
    """
    names = list_manifests()
    if name not in names:
        raise RequestError(f"no data set is named {name!r}; {nearest_names(name, names)}")
    path = manifests_folder() / f"{name}.yaml"
    manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    import jsonschema  # slow to import, and only needed here

    schema = json.loads((manifests_folder() / "schema.json").read_text(encoding="utf-8"))
    fault = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(manifest))
    if fault is not None:
        raise InputDataError(f"{path}: {fault.json_path}: {fault.message}")
    return dict(manifest)
