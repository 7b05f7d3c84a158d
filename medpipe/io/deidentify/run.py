"""A batch of files de-identified into a folder, with a table of what became of each.

    OUT/
      deidentification.json   profile, edition of its table, options, fingerprint of the key, counts
      deidentification.csv    one row per file found
      <patient>/<study>/<series>/<instance>.dcm   all four are pseudonyms

The same inputs, key and options give the same bytes, so an interrupted run is finished by running it again.
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from medpipe.errors import CaseSkippedError, RequestError
from medpipe.io.atomic import write_bytes, write_text
from medpipe.io.deidentify.files import FileReport, Settings, deidentify_file
from medpipe.io.deidentify.pseudonyms import Pseudonyms
from medpipe.io.deidentify.table import Profile, edition
from medpipe.io.folder_lock import locked
from medpipe.io.search import FoundFile, search

__all__ = ["STATUSES", "deidentify_folder"]

STATUSES = ("done", "held back", "skipped", "failed")
_COLUMNS = ("number", "status", "reason", "output", "remarks", "sha256")


def deidentify_folder(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    profile: Profile,
    key: bytes,
    accept_burned_in: bool = False,
    linkage: Path | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """De-identify all DICOM files under ``inputs`` into ``output``.

    Args:
        inputs: Files, folders, zip archives or DICOMDIRs.
        output: New or empty folder, or the one of the same run; never in an input folder, nor around one.
        profile: Profile and options.
        key: Secret of the pseudonyms.
        accept_burned_in: Also write images that may have text burned in.
        linkage: File for a table of which input became which output. It identifies patients.
        workers: Processes.
        progress: Called with files done and files found.

    Returns:
        Number of files by status.

    Raises:
        RequestError: A path is missing or overlaps another, or the output folder holds something else.
        InterruptedRunError: The output folder cannot be written any more; the same call goes on.
    """
    roots, folder = [Path(path).expanduser() for path in inputs], Path(output).expanduser()
    _check_paths(roots, folder, linkage)
    found = list(search(roots))
    if not found:
        raise RequestError("no files under the inputs")
    settings = Settings(folder, profile, key, accept_burned_in)
    with _own(folder, _identity(settings)):
        reports = []
        for report in _all_files(found, settings, workers):
            reports.append(report)
            if progress is not None:
                progress(len(reports), len(found))
        reports = _settle_repeats(reports, found, settings)
        counts = {status: Counter(report.status for report in reports)[status] for status in STATUSES}
        _write_tables(reports, found, settings, counts, linkage)
    return counts


def _check_paths(roots: Sequence[Path], folder: Path, linkage: Path | None) -> None:
    target = folder.resolve()
    for number, root in enumerate(roots, start=1):
        if not root.exists():
            raise RequestError(f"input {number} does not exist; give a file, a folder, a zip archive or a DICOMDIR")
        real = root.resolve()
        if target == real or real in target.parents or target in real.parents:
            raise RequestError(f"output folder and input {number} lie in one another; name a folder elsewhere")
    if linkage is not None and target in linkage.expanduser().resolve().parents:
        raise RequestError("the linkage table identifies patients; keep it outside the output folder")
    if linkage is not None and not linkage.expanduser().parent.is_dir():
        raise RequestError("the folder of the linkage table does not exist")


def _identity(settings: Settings) -> dict[str, Any]:
    profile = settings.profile
    return {
        "format": "medpipe-deidentification/1",
        "profile": "DICOM PS3.15 annex E, Basic Application Level Confidentiality Profile",
        "edition": edition(),
        "retain_uids": profile.retain_uids,
        "modified_dates": profile.modified_dates,
        "clean_descriptors": profile.clean_descriptors,
        "keep_private": [f"{group:04x}:{name}:{element:02x}" for group, name, element in sorted(profile.keep_private)],
        "accept_burned_in": settings.accept_burned_in,
        "key_fingerprint": Pseudonyms(settings.key).name("fingerprint", "", 16),
    }


@contextmanager
def _own(folder: Path, identity: dict[str, Any]) -> Iterator[None]:
    """The output folder, made or taken up again, for this process alone."""
    _check_folder(folder, identity)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"the output folder cannot be written ({error.strerror or error})") from error
    with locked(folder):
        if not (folder / "deidentification.json").exists():
            write_text(folder / "deidentification.json", json.dumps(identity, indent=1) + "\n")
        yield


def _check_folder(folder: Path, identity: dict[str, Any]) -> None:
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"'{folder}' is a file; name a folder")
    if not folder.is_dir() or {item.name for item in folder.iterdir()} <= {".lock"}:
        return
    try:
        before = json.loads((folder / "deidentification.json").read_text("utf-8"))
        changed = [name for name in identity if before.get(name) != identity[name]]
    except (OSError, ValueError, AttributeError) as error:
        raise RequestError(f"folder '{folder}' is not empty; name a new one (nothing is ever overwritten)") from error
    if changed:
        raise RequestError(f"folder '{folder}' was made with another {', '.join(changed)}; name a new one")


def _all_files(found: Sequence[FoundFile], settings: Settings, workers: int) -> Iterable[FileReport]:
    tasks = [(number, item, settings) for number, item in enumerate(found, start=1)]
    if workers == 1:
        yield from map(_one, tasks)
        return
    # Spawned processes share no open file with this one, so that its lock ends with it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _die_with_parent, (os.getpid(),)) as pool:
        yield from pool.map(_one, tasks, chunksize=16)


def _die_with_parent(parent: int) -> None:
    """Watch from a thread whether the main process is still there: after a kill -9 its workers would wait for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _one(task: tuple[int, FoundFile, Settings]) -> FileReport:
    number, item, settings = task
    if item.error is None:
        return deidentify_file(number, item.source, settings)
    if isinstance(item.error, CaseSkippedError):  # the error's own text names files
        return FileReport(number, "skipped", "is an index, an empty archive or a special file")
    return FileReport(number, "failed", "cannot be opened, or was refused as an archive or a link")


def _settle_repeats(reports: list[FileReport], found: Sequence[FoundFile], settings: Settings) -> list[FileReport]:
    """Of files with one SOPInstanceUID the first stays; equal ones are done with it, other ones fail."""
    first: dict[str, FileReport] = {}
    settled = []
    for report in reports:
        same = first.setdefault(report.output, report) if report.output else report
        if same is not report and same.sha256 == report.sha256:
            report = replace(report, remarks=f"the same as file {same.number}")
        elif same is not report:
            deidentify_file(same.number, found[same.number - 1].source, settings)  # the later one may have replaced it
            reason = f"has the SOPInstanceUID of file {same.number}, but other content; check the export"
            report = FileReport(report.number, "failed", reason)
        settled.append(report)
    return settled


def _write_tables(
    reports: Sequence[FileReport],
    found: Sequence[FoundFile],
    settings: Settings,
    counts: dict[str, int],
    linkage: Path | None,
) -> None:
    rows = [{name: getattr(report, name) for name in _COLUMNS} for report in reports]
    write_text(settings.folder / "deidentification.csv", _as_csv(_COLUMNS, rows))
    summary = {**_identity(settings), "files": counts}
    write_text(settings.folder / "deidentification.json", json.dumps(summary, indent=1) + "\n")
    if linkage is not None:
        links = [
            {"number": report.number, "input": str(item.source), "output": report.output, "status": report.status}
            for report, item in zip(reports, found, strict=True)
        ]
        table = _as_csv(("number", "input", "output", "status"), links)
        write_bytes(linkage.expanduser(), os.fsencode(table), mode=0o600)


def _as_csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
