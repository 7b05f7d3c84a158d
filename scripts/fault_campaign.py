"""Kill a batch run at random instants, start it again, and compare the end with that of an unbroken run.

    python scripts/fault_campaign.py [--command infer] [--kills 200] [--cases 100] [--seed 0] [--workers 2] [--decoders]

The run is ``medpipe infer`` itself on generated pictures, or ``medpipe convert`` or ``medpipe deidentify`` on generated
series, one to ten cases; some files are damaged. "kill" is SIGKILL to the process of the run;
with --decoders to one of its decoding processes instead, and the run must then reach its end by itself. Compared are all
files of the folder, byte for byte, and the rows of the journal; times of day, durations and what hashes them are left out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing.forkserver
import os
import random
import re
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

BUNDLE = "cxr_pneumothorax_acm"
_LEFT_OUT = re.compile(r"journal\.sqlite.*|\.lock")
_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
_HASH = re.compile(rb"[0-9a-f]{64}")


def write_study(folder: Path, cases: int, seed: int) -> None:
    """Write small pictures; every ninth is cut short, every tenth is a note."""
    random_numbers = np.random.default_rng(seed)
    for number in range(cases):
        path = folder / f"p{number % 7}" / f"image{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 10 == 9:
            path.with_suffix(".txt").write_text("a note")
            continue
        Image.fromarray(random_numbers.integers(0, 255, (96, 80), np.uint8)).save(path)
        if number % 9 == 8:
            path.write_bytes(path.read_bytes()[:-2000])


def start(task: Callable[[], int]) -> int:
    """Run ``task`` in a process of its own, forked from this one, which has everything imported; returns its id."""
    import torch

    # A run that is killed while it talks to the server that forks decoders may take it along.
    multiprocessing.forkserver.ensure_running()
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        # The server that forks decoders is the parent's child and serves this process as well.
        multiprocessing.forkserver.ensure_running = lambda: None
        multiprocessing.forkserver._forkserver.ensure_running = lambda: None
        # torch's own threads, if the parent ever used them, are not there after a fork, and would be waited for.
        torch.set_num_threads(1)
        signal.alarm(300)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background hands an ignored one down
        code = task()
    finally:
        os._exit(code)


def infer(study: Path, out: Path, workers: int) -> Callable[[], int]:
    """The run, as a task; with so many retries that no case fails by the chance that its process is hit every time."""

    def task() -> int:
        from medpipe.cli.main import invoke

        sys.argv = ["medpipe"]  # the command stands in run.json, and is not what is compared
        options = ["image_size=64", "picture_size=96", "retries=20", "-o", str(out), "--workers", str(workers)]
        return invoke(["infer", BUNDLE, str(study), *options])

    return task


def write_series(folder: Path, cases: int, seed: int) -> None:
    """CT series of ten slices, a tenth as many as there are cases; one slice of the last is cut short."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    random_numbers = np.random.default_rng(seed)
    for number in range(max(2, cases // 10) * 10):
        series, slice_number = divmod(number, 10)
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"1.2.3.{series}.1.{slice_number + 1}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.3.{series}.2", f"1.2.3.{series}.3"
        dataset.PatientID, dataset.Modality, dataset.InstanceNumber = f"7{series}", "CT", slice_number + 1
        dataset.Rows, dataset.Columns, dataset.PixelSpacing = 128, 128, ["0.7", "0.7"]
        dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        dataset.ImagePositionPatient = ["-50", "-50", str(2.5 * slice_number)]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 1
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
        dataset.PixelData = random_numbers.integers(0, 2000, (128, 128), np.int16).tobytes()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        path = folder / f"series{series:03d}" / f"image{slice_number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
    path.write_bytes(path.read_bytes()[:-20000])


def convert(study: Path, out: Path, workers: int) -> Callable[[], int]:
    """A conversion, as a task."""

    def task() -> int:
        from medpipe.cli.main import invoke

        return invoke(["convert", str(study), "-o", str(out)])

    return task


def deidentify(study: Path, out: Path, workers: int) -> Callable[[], int]:
    """A de-identification, as a task; all of a campaign's share a key."""

    def task() -> int:
        from medpipe.cli.main import invoke

        options = ["-o", str(out), "--key", str(study.with_name("key")), "--workers", "1", "--accept-burned-in"]
        return invoke(["deidentify", str(study), *options])

    return task


COMMANDS = {"infer": (write_study, infer), "convert": (write_series, convert), "deidentify": (write_series, deidentify)}


def import_all() -> None:
    """Load what runs need, once for all that are forked from this process."""
    import monai.bundle  # noqa: F401

    import medpipe.engines.handlers.run_recorder
    import medpipe.reports.page
    import medpipe.transforms.radiograph  # noqa: F401
    from medpipe.batch.worker import prepare_workers

    prepare_workers()


def server_lives() -> bool:
    """Whether the server that forks decoders is the one that it was; where it died, another is started."""
    server = multiprocessing.forkserver._forkserver
    before = server._forkserver_pid
    multiprocessing.forkserver.ensure_running()
    return before == server._forkserver_pid


def exit_code(pid: int) -> int:
    """Wait for a process; its code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def wait_at_most(pid: int, seconds: float) -> int | None:
    """Wait for a process; its code, None where it is still running."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def content(out: Path) -> dict[str, bytes]:
    """All files of a run by path, without times."""
    files = {}
    for path in sorted(out.rglob("*")):
        if path.is_file() and not _LEFT_OUT.fullmatch(path.name):
            data = path.read_bytes()
            if path.name in ("run.json", "index.html"):
                data = _TIME.sub(b"TIME", data)
            if path.name == "index.html":  # names the hash of run.json
                data = _HASH.sub(b"HASH", data)
            files[str(path.relative_to(out))] = data.replace(str(out).encode(), b"OUT")
    return files


def rows(out: Path) -> list[tuple]:
    """The journal without durations and attempts; empty where the command keeps none."""
    if not (out / "journal.sqlite").is_file():
        return []
    with closing(sqlite3.connect(out / "journal.sqlite")) as db:
        columns = "name, status, reason, facts, score, marks, input_sha256, outputs, found, stamp"
        return db.execute(f"SELECT {columns} FROM cases ORDER BY name").fetchall()


def differences(out: Path, whole: Path) -> list[str]:
    """What differs between two finished runs."""
    found, expected = content(out), content(whole)
    wrong = [name for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name)]
    return wrong + (["journal"] if rows(out) != rows(whole) else [])


def decoders() -> list[int]:
    """Ids of the decoding processes: children of the server that forks them."""
    server = multiprocessing.forkserver._forkserver._forkserver_pid
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(") ", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == server and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def campaign(
    folder: Path, *, kills: int, cases: int, seed: int, workers: int, command: str = "infer", of_decoders: bool = False
) -> dict:
    """Kill and resume until ``kills`` are done; returns counts and the differences that were found."""
    import_all()
    write_input, run = COMMANDS[command]
    chance = random.Random(seed)
    study, whole = folder / "study", folder / "whole"
    write_input(study, cases, seed)
    expected = 3  # some files are damaged
    begin = time.monotonic()
    assert exit_code(start(run(study, whole, workers))) == expected
    begin, again = time.monotonic(), folder / "again"
    assert exit_code(start(run(study, again, workers))) == expected
    duration = time.monotonic() - begin
    report = {"kills": 0, "runs finished": 0, "starts": 0, "seconds of a run": round(duration, 2), "wrong": []}
    report["wrong"] += differences(again, whole)
    while report["kills"] < kills:
        out = folder / f"out{report['runs finished']}"
        one_run(report, out, lambda: run(study, out, workers), duration, chance, kills, of_decoders)  # noqa: B023
        report["wrong"] += [f"{out.name}: {name}" for name in differences(out, whole)]
        report["runs finished"] += 1
    return report


def one_run(report, out, task, duration, chance, kills, of_decoders) -> None:
    """Start a run again and again until it reaches its end."""
    while True:
        pid = start(task())
        report["starts"] += 1
        while report["kills"] < kills:
            code = wait_at_most(pid, chance.uniform(0, duration * (0.2 if of_decoders else 1)))
            if code is not None:
                break
            victims = decoders() if of_decoders else [pid]
            if victims:
                os.kill(chance.choice(victims), signal.SIGKILL)
                report["kills"] += 1
            if not of_decoders:
                code = exit_code(pid)
                break
        else:
            code = exit_code(pid)
        if code == 1 and not server_lives():
            continue  # the kill before took the server that all runs share along, once this run had been started
        if code != -signal.SIGKILL:
            if code != 3:
                report["wrong"].append(f"{out.name}: exit code {code}")
            return


def main() -> None:
    """Run a campaign and print its counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", choices=list(COMMANDS), default="infer")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--decoders", action="store_true")
    given = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        report = campaign(
            Path(folder),
            kills=given.kills,
            cases=given.cases,
            seed=given.seed,
            workers=given.workers,
            command=given.command,
            of_decoders=given.decoders,
        )
    print(json.dumps(report, indent=2))
    sys.exit(bool(report["wrong"]))


if __name__ == "__main__":
    main()
