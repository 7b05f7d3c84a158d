from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.utils import CommonKeys as Keys

from medpipe.data.teacher_fields import read_teacher_field
from medpipe.engines.handlers.field_records import FieldRecords
from medpipe.errors import InputDataError
from medpipe.transforms.volume_pairs import FieldFolder

NAMES = [("a", "b"), ("b", "a")]


def handled(folder: Path, fields: torch.Tensor) -> FieldRecords:
    handler = FieldRecords(folder, records=FieldFolder(folder / "fields"), names=NAMES)
    batch = {"fixed_case": ["a", "b"], "moving_case": ["b", "a"]}
    output = {Keys.PRED: SimpleNamespace(field=fields)}
    handler(SimpleNamespace(state=SimpleNamespace(output=output, batch=batch)))
    return handler


def test_each_pair_has_its_own_record_in_half_precision(tmp_path) -> None:
    fields = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    handled(tmp_path, fields).write_index()
    for name, field in zip(("a-b", "b-a"), fields, strict=True):
        np.testing.assert_array_equal(read_teacher_field(tmp_path / "fields" / f"{name}.npz"), field.half().numpy())
    with (tmp_path / "fields.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["fixed"], row["moving"]) for row in rows] == NAMES
    assert [row["file"] for row in rows] == ["fields/a-b.npz", "fields/b-a.npz"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_a_field_that_no_teacher_means_is_refused(tmp_path, value) -> None:
    fields = torch.zeros(2, 3, 4, 4, 4)
    fields[0, 1, 2, 2, 2] = value
    with pytest.raises(InputDataError, match="the field of a and b reaches"):
        handled(tmp_path, fields)
    assert not (tmp_path / "fields").exists()
