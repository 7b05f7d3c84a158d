"""Files to patients, studies and series, by their headers alone.

Every file that a search finds ends as an image of a series, a NIfTI volume, an annotation (SEG, RTSTRUCT), skipped with
a reason or failed with a reason; nothing disappears.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from medpipe.errors import CaseError, CaseSkippedError, RequestError
from medpipe.io.dicom_images import read_instance
from medpipe.io.findings import Finding, found
from medpipe.io.garbage import no_collection
from medpipe.io.header_store import HeaderStore
from medpipe.io.instances import Image, Instance, UnreadableError
from medpipe.io.radiograph import file_kind
from medpipe.io.search import FoundFile, search
from medpipe.io.sources import Source
from medpipe.io.stack import Stack
from medpipe.io.stacks import build_stacks

__all__ = ["FileEntry", "Index", "Series", "index_files"]

ANNOTATIONS = ("SEG", "RTSTRUCT")


@dataclass
class FileEntry:
    """One file found, and what became of it.

    Attributes:
        source: Where its bytes are.
        label: Its path as tables show it.
        status: "" while open, else "converted", "skipped" or "failed".
        code: Kind of finding behind a status.
        reason: In a sentence, without paths.
        see: Label of another file that the reason speaks of.
        volumes: Names of the volumes that it went into.
    """

    source: Source
    label: str
    status: str = ""
    code: str = ""
    reason: str = ""
    see: str = ""
    volumes: list[str] = field(default_factory=list)

    def close(self, status: str, code: str, reason: str, see: str = "") -> None:
        """Give the file its end; the first one stands, but a volume made of it outranks any reason."""
        if not self.status or (status == "converted" and self.status != "converted"):
            self.status, self.code, self.reason, self.see = status, code, reason, see


@dataclass
class Series:
    """The images that share patient, study, series and modality.

    Attributes:
        patient, study, number: Numbers given in order of appearance, from 1.
        patient_key, study_uid, series_uid: Identities from the headers; not for output.
        modality: As in the headers.
        instances: Its files, duplicates left out.
        findings: What is odd about the series as a whole.
        broken: Labels of its files that cannot be read.
    """

    patient: int
    study: int
    number: int
    patient_key: str
    study_uid: str
    series_uid: str
    modality: str
    instances: list[Instance] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name for files: numbers of patient, study and series, and the modality; nothing of the patient's."""
        return f"P{self.patient:04d}_study{self.study:02d}_series{self.number:03d}_{self.modality or 'XX'}"

    def stacks(self, without: Iterable[Instance] = ()) -> list[Stack]:
        """Its volumes to be; findings of the series and of single files stand on each of them."""
        left_out = {id(instance) for instance in without}
        images = [image for instance in self.instances if id(instance) not in left_out for image in instance.images]
        stacks = build_stacks(images)
        for stack in stacks:
            stack.findings[:0] = [*self.findings, *_gathered(stack.all_images)]
        return stacks


def _gathered(images: Sequence[Image]) -> list[Finding]:
    """Findings of single files, one for each kind, with all files it concerns."""
    instances = {id(image.instance): image.instance for image in images}.values()
    by_code: dict[str, list[Finding]] = defaultdict(list)
    for instance in instances:
        for finding in instance.findings:
            by_code[finding.code].append(finding)
    gathered = []
    for findings in by_code.values():
        files = [label for finding in findings for label in finding.files]
        first = findings[0]
        message = first.message if len(findings) == 1 else f"{first.message} ({len(findings)} files)"
        gathered.append(Finding(first.code, message, tuple(files[:50]), first.numbers))
    return gathered


@dataclass
class Index:
    """What a search found.

    Attributes:
        files: Every file by its label, in order of appearance.
        series: Image series in order of appearance.
        niftis: Files that are volumes already.
        annotations: Segmentation objects (SEG, RTSTRUCT) with the patient and study numbers of their images, or 0.
        names: Parts of patients' names and ids, which must not show.
    """

    files: dict[str, FileEntry] = field(default_factory=dict)
    series: list[Series] = field(default_factory=list)
    niftis: list[FileEntry] = field(default_factory=list)
    annotations: list[FileEntry] = field(default_factory=list)
    names: set[str] = field(default_factory=set)


def index_files(
    paths: str | Path | Sequence[str | Path], store: HeaderStore | None = None, without: Sequence[Path] = ()
) -> Index:
    """Read the headers of all files under ``paths``: files, folders (recursively), zip archives, DICOMDIR files.

    Args:
        paths: One path or several.
        store: Headers of an earlier look; it is given those of this one, and written.
        without: Folders that are not entered.

    Raises:
        RequestError: A path does not exist, or there is no file under any of them.
    """
    roots = [Path(p).expanduser() for p in ([paths] if isinstance(paths, str | Path) else paths)]
    for root in roots:
        if not root.exists():
            raise RequestError(f"input '{root}' does not exist; give a file, a folder, a zip archive or a DICOMDIR")
    builder = _Builder(store)
    with no_collection():
        for item in search(roots, without):
            builder.take(item)
    if not builder.index.files:
        raise RequestError(f"no files under {', '.join(str(r) for r in roots)}")
    builder.finish()
    if store is not None:
        store.save()
    return builder.index


class _Builder:
    """Sorts files into series while they are read."""

    def __init__(self, store: HeaderStore | None) -> None:
        self.index = Index()
        self._store = store
        self._series: dict[tuple[str, ...], Series] = {}
        self._patients: dict[str, int] = {}
        self._studies: dict[tuple[int, str], int] = {}
        self._series_in_study: dict[tuple[int, int], int] = defaultdict(int)
        self._sops: dict[tuple[tuple[str, ...], str], Instance] = {}
        self._broken: list[tuple[FileEntry, tuple[str, ...] | None]] = []

    def take(self, item: FoundFile) -> None:
        entry = FileEntry(item.source, item.label)
        self.index.files[item.label] = entry
        try:
            if item.error is not None:
                raise item.error
            self._read(entry)
        except UnreadableError as error:
            entry.close("failed", error.code, str(error))
            self.index.names.update(error.names)
            self._broken.append((entry, error.series))
        except CaseSkippedError as error:
            entry.close("skipped", "no_image", str(error))
            self.index.names.update(error.words)
        except CaseError as error:
            entry.close("failed", "unreadable_file", str(error))
            self._broken.append((entry, None))
        except Exception as error:  # a fault of the disk, or one that no reader foresaw: it belongs to this file alone
            entry.close("failed", "unreadable_file", f"cannot be read ({type(error).__name__})")
            self._broken.append((entry, None))

    def _read(self, entry: FileEntry) -> None:
        known = self._store.get(entry.source, entry.label) if self._store is not None else None
        if known is not None:
            self._take_instance(entry, known)
            return
        with entry.source.open() as stream:
            kind = file_kind(stream.read(132), entry.source.name)
            if kind == "nifti":
                self.index.niftis.append(entry)
                return
            if kind != "dicom":
                entry.close("skipped", "foreign_file", _foreign(kind))
                return
            size = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            try:
                instance = read_instance(stream, entry.source, entry.label, size)
            except CaseSkippedError as error:
                if any(f"({name})" in str(error) for name in ANNOTATIONS):
                    self.index.annotations.append(entry)
                    self.index.names.update(error.words)
                    return
                raise
        if self._store is not None:
            self._store.put(instance)
        self._take_instance(entry, instance)

    def _take_instance(self, entry: FileEntry, instance: Instance) -> None:
        self.index.names.update(instance.names)
        if instance.modality in ANNOTATIONS:
            self.index.annotations.append(entry)
            return
        self._add(entry, instance)

    def _add(self, entry: FileEntry, instance: Instance) -> None:
        # Without an id every folder counts as a patient of its own: joining strangers would be the worse guess.
        patient = instance.patient or f"folder {_folder(instance.label)}"
        series_uid = instance.series or f"folder {_folder(instance.label)} series {instance.series_number}"
        key = (patient, instance.study, series_uid, instance.modality)
        series = self._series.get(key) or self._new_series(key)
        if not instance.series and not series.findings:
            series.findings.append(found("no_series_uid"))
        first = self._sops.setdefault((key, instance.sop), instance) if instance.sop else instance
        if first is not instance:
            if _same_image(first, instance):
                entry.close("skipped", "duplicate_file", "the same image as another file", first.label)
                series.findings.append(found("duplicate_file", files=[instance.label, first.label]))
            else:
                entry.close("skipped", "conflicting_duplicates", "another image has its UID", first.label)
                files = [first.label, instance.label]
                series.findings.append(found("conflicting_duplicates", files=files))
            return
        series.instances.append(instance)

    def _new_series(self, key: tuple[str, ...]) -> Series:
        patient = self._patients.setdefault(key[0], len(self._patients) + 1)
        in_patient = sum(number == patient for number, _ in self._studies)
        study = self._studies.setdefault((patient, key[1]), in_patient + 1)
        self._series_in_study[patient, study] += 1
        number = self._series_in_study[patient, study]
        series = Series(patient, study, number, key[0], key[1], key[2], key[3])
        self._series[key] = series
        self.index.series.append(series)
        return series

    def finish(self) -> None:
        """Judge each series as a whole."""
        self._attach_broken()
        by_uid: dict[str, list[Series]] = defaultdict(list)
        for series in self.index.series:
            by_uid[series.series_uid].append(series)
        for sharing in by_uid.values():
            identities = {(series.patient_key, series.study_uid) for series in sharing}
            for series in sharing:
                if len(identities) > 1:
                    series.findings.append(found("shared_series_uid", f"{len(identities)} of them"))
                elif len(sharing) > 1:
                    series.findings.append(found("mixed_modality", ", ".join(s.modality or "none" for s in sharing)))
        for series in self.index.series:
            series.findings.extend(_count_findings(series))
        self.index.series = [series for series in self.index.series if series.instances]

    def _attach_broken(self) -> None:
        if not self._broken:
            return
        folders: dict[str, list[Series]] = defaultdict(list)
        for series in self.index.series:
            for folder in {_folder(instance.label) for instance in series.instances}:
                folders[folder].append(series)
        neighbours: dict[int, list[str]] = defaultdict(list)
        for entry, key in self._broken:
            owner = self._series.get(key) if key else None
            if owner is not None:
                owner.broken.append(entry.label)
                continue
            for series in folders.get(_folder(entry.label), []):
                neighbours[id(series)].append(entry.label)
        for series in self.index.series:
            if series.broken:
                series.findings.append(found("unreadable_slice", f"{len(series.broken)} files", series.broken[:50]))
            if labels := neighbours.get(id(series)):
                series.findings.append(found("unreadable_neighbour", f"{len(labels)} files", labels[:50]))


def _folder(label: str) -> str:
    return str(PurePath(label).parent)


def _foreign(kind: str) -> str:
    if kind == "zip":
        return "zip archive inside a zip archive; unpack it first"
    return f"{kind.upper()} picture, neither DICOM nor NIfTI" if kind else "neither DICOM nor NIfTI"


def _count_findings(series: Series) -> list[Finding]:
    """What the numbers of a series' images say about images that are not there."""
    numbers = sorted({i.number for i in series.instances if i.number is not None and i.form.frames == 1})
    findings = []
    if len(numbers) > 1 and len(numbers) == len(series.instances):
        missing = numbers[-1] - numbers[0] + 1 - len(numbers)
        if 0 < missing <= 3 * len(numbers):  # beyond that the numbers are no count
            detail = f"{missing} numbers between {numbers[0]} and {numbers[-1]} are not there"
            findings.append(found("instance_number_gap", detail, missing=missing))
    declared = max((i.declared_images or 0 for i in series.instances), default=0)
    count = sum(i.form.frames for i in series.instances)
    if declared > count:
        findings.append(found("fewer_images_than_declared", f"{count} of {declared}", declared=declared, present=count))
    return findings


def _same_image(first: Instance, second: Instance) -> bool:
    """Whether two files of one instance UID hold the same image at the same place."""
    places = [[(i.position, i.orientation, i.spacing, i.slope, i.intercept) for i in x.images] for x in (first, second)]
    forms = [replace(x.form, offset=0, vr="") for x in (first, second)]
    if repr(places[0]) != repr(places[1]) or forms[0] != forms[1]:
        return False
    return _pixel_hash(first) == _pixel_hash(second)


def _pixel_hash(instance: Instance) -> str:
    form = instance.form
    with instance.source.open() as stream:
        stream.seek(0 if form.deflated else form.offset)
        content = stream.read()
    return form.syntax + hashlib.sha256(content).hexdigest()
