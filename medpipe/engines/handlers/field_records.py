"""Writes the fields that a network finds, one file per pair, for the students that learn from them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.utils import CommonKeys as Keys

from medpipe.errors import InputDataError
from medpipe.io.atomic import write_text
from medpipe.predictions.persistence import persistently

__all__ = ["FieldRecords"]


class FieldRecords:
    """Writes a record per pair as soon as its field is found; ``write_index`` makes fields.csv, the list of all pairs.

    A record appears whole or not at all, so that what is there is done: leave such pairs out of the data, and an
    interrupted export goes on.

    Args:
        folder: Where fields.csv goes.
        records: Below it; tells the ``path`` of the record of two cases, and does ``write`` a field (3, X, Y, Z) there.
        names: All pairs that are to be there in the end, (fixed, moving) cases.
    """

    def __init__(self, folder: str | Path, *, records: Any, names: Sequence[tuple[str, str]]) -> None:
        self.folder, self.records, self.names = Path(folder), records, names

    def attach(self, engine: Engine) -> None:
        """To an evaluator whose batches have "fixed_case" and "moving_case"."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the records of a batch.

        Raises:
            InputDataError: A field is not finite, or too long for the half precision of the records.
            InterruptedRunError: The disk is full or fails.
        """
        fields = engine.state.output[Keys.PRED].field.float().cpu()  # type: ignore[index,call-overload]
        batch: Any = engine.state.batch
        for field, fixed, moving in zip(fields, batch["fixed_case"], batch["moving_case"], strict=True):
            if not float(field.abs().max()) < _LARGEST:  # also where it is NaN
                raise InputDataError(
                    f"the field of {fixed} and {moving} reaches {float(field.abs().max()):.3g} voxels; is the teacher trained?"
                )
            persistently(partial(self.records.write, field.numpy(), fixed, moving))

    def write_index(self) -> None:
        """List the pairs and their files; by the first process, when all are there."""
        idist.barrier()
        if idist.get_rank() != 0:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["fixed", "moving", "file"])
        for fixed, moving in self.names:
            path = self.records.path(fixed, moving)
            writer.writerow([fixed, moving, path.relative_to(self.folder).as_posix()])
        persistently(lambda: write_text(self.folder / "fields.csv", text.getvalue()))


_LARGEST = float(torch.finfo(torch.float16).max) / 64
"""Beyond 1,000 voxels half precision is off by half a voxel, and no teacher is right."""
