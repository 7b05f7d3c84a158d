"""What tests of evaluations share."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from medpipe.io.displacements import write_disp, write_warp
from medpipe.predictions.results import FORMAT


@pytest.fixture(scope="session")
def valid() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Function that checks results against the schema that is shipped, as they stand in the file, and returns them."""
    text = importlib.resources.files("medpipe.predictions").joinpath("results.schema.json").read_text(encoding="utf-8")
    validator = jsonschema.Draft202012Validator(json.loads(text))

    def check(results: dict[str, Any]) -> dict[str, Any]:
        stored = json.loads(json.dumps({"format": FORMAT, "data": {"name": "x"}, **results}, allow_nan=False))
        validator.validate(stored)
        return stored

    return check


class PairStudy:
    """Small volumes with two structures and a known field, as files: ``study.write(name, ...)`` -> a row of a table."""

    shape = (24, 22, 20)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        places = np.indices(self.shape).astype(float)
        first = sum((places[k] - c) ** 2 for k, c in enumerate((9, 10, 10))) < 30
        second = sum((places[k] - c) ** 2 for k, c in enumerate((15, 11, 9))) < 20
        self.labels = np.where(second, 2, np.where(first, 1, 0)).astype(np.uint8)
        self.image = (gaussian_filter(self.labels * 100.0, 1) + places.sum(axis=0)).astype(np.float32)

    def affine(self, kind: str = "plain") -> np.ndarray:
        turn = Rotation.from_euler("xyz", (10, -7, 4), degrees=True).as_matrix()
        matrix = {
            "plain": np.diag([1.5, 1.5, 2.0]),
            "flipped": np.diag([-1.5, -1.5, 2.0]),
            "permuted": np.diag([1.5, 1.5, 2.0])[[2, 0, 1]],
            "oblique": turn @ np.diag([1.5, 1.5, 2.0]),
        }[kind]
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = matrix, (-12, 30, 5)
        return affine

    def save(self, name: str, array: np.ndarray, affine: np.ndarray | None = None) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, self.affine() if affine is None else affine), path)
        return name

    def row(
        self, pair: str, shift: int = 2, *, kind: str = "plain", layout: str = "disp", **more: str
    ) -> dict[str, str]:
        """A pair whose moving image is the fixed one, ``shift`` voxels further along axis 0; the field knows it."""
        affine = self.affine(kind)
        field = np.zeros((3, *self.shape), np.float32)
        field[0] = shift
        name = f"{pair}_{layout}.nii.gz"
        write = {"disp": write_disp, "Warp": write_warp}[layout]
        write(self.folder / name, field, affine)
        points = np.array([[9.0, 10, 10], [15, 11, 9], [12, 8, 7]])
        for side, moved in (("fixed", 0), ("moving", shift)):
            self.save(f"{pair}_{side}.nii.gz", np.roll(self.image, moved, axis=0), affine)
            self.save(f"{pair}_{side}_seg.nii.gz", np.roll(self.labels, moved, axis=0), affine)
            lines = [",".join(map(str, point)) for point in np.add(points, (moved, 0, 0)).tolist()]
            (self.folder / f"{pair}_{side}.csv").write_text("\n".join(lines) + "\n")
        files = {
            f"{side}{column}": f"{pair}_{side}{end}"
            for side in ("fixed", "moving")
            for column, end in (("", ".nii.gz"), ("_labels", "_seg.nii.gz"), ("_points", ".csv"))
        }
        return {"pair": pair, **files, "field": name, **more}

    def table(self, rows: list[dict[str, str]], name: str = "pairs.csv") -> Path:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        lines = [",".join(row.get(key, "") for key in columns) for row in rows]
        path = self.folder / name
        path.write_text("\n".join([",".join(columns), *lines]) + "\n")
        return path


@pytest.fixture
def study(tmp_path: Path) -> PairStudy:
    return PairStudy(tmp_path)
