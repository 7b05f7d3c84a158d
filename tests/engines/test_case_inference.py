"""The batch run's parts together: data set, step, marks, recorder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from torch import nn
from torch.utils.data import DataLoader

from medpipe.batch.register import register
from medpipe.engines.case_dataset import CaseDataset, collate_cases, failure_of
from medpipe.engines.handlers.run_recorder import RunRecorder
from medpipe.engines.steps.case_inference import infer_cases
from medpipe.errors import CaseFailedError, CaseSkippedError
from medpipe.io.cases import find_radiographs
from medpipe.predictions.run_folder import RunFolder
from medpipe.predictions.tables import read_table
from medpipe.transforms.marks import ExtractMarksd
from medpipe.transforms.radiograph import radiograph_preprocessing


class Brightness(nn.Module):
    """Logit map of 8 x 8 pixel cells: their mean brightness between -8 and 8."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(images, 8) * 16 - 8


def run(inputs: Path, out: Path, batch_size: int = 1, workers: int = 0) -> RunFolder:
    folder = RunFolder(out, bundle="brightness", inputs=inputs)
    folder.start()
    data = CaseDataset(register(folder, find_radiographs(inputs)), radiograph_preprocessing(64, picture_size=200))
    loader = DataLoader(data, batch_size=batch_size, num_workers=workers, collate_fn=collate_cases)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=loader,
        network=Brightness(),
        iteration_update=infer_cases,
        inferer=SimpleInferer(),
        postprocessing=ExtractMarksd("pred", "bright"),
        val_handlers=[RunRecorder(folder)],
        decollate=False,
    )
    evaluator.run()
    folder.finish()
    return folder


@pytest.fixture
def study(write_dicom, ramp, tmp_path) -> Path:
    write_dicom("in/a.dcm", ramp)
    write_dicom("in/b.dcm", ramp, PhotometricInterpretation="MONOCHROME1")
    write_dicom("in/ct.dcm", ramp, Modality="CT")
    cut = write_dicom("in/cut.dcm", ramp)
    cut.write_bytes(cut.read_bytes()[:-2000])
    (tmp_path / "in/notes.txt").write_text("x")
    return tmp_path / "in"


def test_every_file_ends_with_a_row_and_a_bad_one_stops_nothing(study, tmp_path) -> None:
    run(study, tmp_path / "out")
    rows = {row["file"]: row for row in read_table(tmp_path / "out/cases.csv", ["file", "status"])}
    assert {name: row["status"] for name, row in rows.items()} == {
        "a.dcm": "done",
        "b.dcm": "done",
        "ct.dcm": "skipped",
        "cut.dcm": "failed",
        "notes.txt": "skipped",
    }
    assert "cut short" in rows["cut.dcm"]["reason"]
    assert (rows["a.dcm"]["rows"], rows["a.dcm"]["columns"]) == ("96", "80")
    for name in ("a.dcm", "b.dcm"):
        assert (tmp_path / "out/cases" / rows[name]["case"] / "marks.png").is_file()


def test_the_brightest_place_is_marked_where_it_is_in_the_file(study, tmp_path) -> None:
    run(study, tmp_path / "out")
    rows = {row["file"]: row["case"] for row in read_table(tmp_path / "out/cases.csv", ["file"])}
    marks = read_table(tmp_path / "out/marks.csv", ["case", "x", "y", "score"])
    strongest = {case: next(mark for mark in marks if mark["case"] == case) for case in (rows["a.dcm"], rows["b.dcm"])}
    bright, dark = strongest[rows["a.dcm"]], strongest[rows["b.dcm"]]
    assert float(bright["x"]) > 60
    assert float(bright["y"]) > 80
    assert float(dark["x"]) < 15
    assert float(dark["y"]) < 15


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 2), (3, 0)])
def test_workers_and_batches_do_not_change_the_tables(study, tmp_path, batch_size, workers) -> None:
    run(study, tmp_path / "one")
    run(study, tmp_path / "two", batch_size=batch_size, workers=workers)
    for name in ("marks.csv", "cases.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_run_taken_up_again_ends_with_the_same_tables(study, tmp_path) -> None:
    run(study, tmp_path / "whole")
    first = RunFolder(tmp_path / "broken", bundle="brightness", inputs=study)
    first.start()
    results = {result.case: result for result in _journal(tmp_path / "whole").results()}
    register(first, find_radiographs(study))
    first.record(results["notes"])
    first.close()
    run(study, tmp_path / "broken")
    for name in ("marks.csv", "cases.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()


def _journal(folder: Path):
    from medpipe.predictions.journal import Journal

    return Journal(folder / "journal.sqlite")


def test_no_patient_name_or_id_reaches_any_output(study, tmp_path) -> None:
    run(study, tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        assert "Canary" not in path.name
        if path.is_file():
            assert b"Canary" not in path.read_bytes()


def test_a_failure_carries_the_reason_of_the_case_error_it_came_from() -> None:
    wrapped = RuntimeError("applying transform X")
    wrapped.__cause__ = CaseSkippedError("has no pixel data")
    assert failure_of(wrapped) == ("skipped", "has no pixel data")
    assert failure_of(CaseFailedError("cut short")) == ("failed", "cut short")


def test_any_other_failure_says_where_it_arose() -> None:
    data = CaseDataset([{"case": "a", "status": "pending"}], transform=lambda case: case["image"])
    assert data[0]["status"] == "failed"
    assert data[0]["reason"] == "processing failed in <lambda>: KeyError: 'image'"
