"""From paths to cases: every file that is found becomes exactly one case, with a status and a reason."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from medpipe.errors import CaseError, CaseFailedError, CaseSkippedError, RequestError
from medpipe.io import dicom_radiograph
from medpipe.io.radiograph import check_pixel_count, file_kind
from medpipe.io.sources import Source, zip_members

__all__ = ["Case", "RadiographRules", "find_radiographs"]


@dataclass(frozen=True)
class RadiographRules:
    """Which files are images for a bundle.

    Attributes:
        modalities: DICOM modalities that are read.
        body_parts: Words of which BodyPartExamined must hold one, where it is filled; empty accepts all.
        frontal_only: Skip views that the header calls lateral or oblique. An unnamed view is accepted.
        minimum_side: Smallest accepted number of rows or columns.
        split_frames: Make one case of each frame of a multi-frame file instead of skipping it.
    """

    modalities: Sequence[str] = ("CR", "DX", "RG")
    body_parts: Sequence[str] = ("CHEST", "THORAX", "LUNG")
    frontal_only: bool = True
    minimum_side: int = 64
    split_frames: bool = False

    def check(self, header: dicom_radiograph.RadiographHeader) -> None:
        """Raise ``CaseSkippedError`` with the reason if the header does not fit."""
        expected = ", ".join(self.modalities)
        if header.modality not in self.modalities:
            raise CaseSkippedError(f"modality {header.modality or 'not given'}; this bundle reads {expected}")
        if not header.has_pixels:
            raise CaseSkippedError("has no pixel data")
        if header.body_part and self.body_parts and not any(p in header.body_part for p in self.body_parts):
            raise CaseSkippedError(f"body part {header.body_part}; this bundle reads {', '.join(self.body_parts)}")
        if self.frontal_only and _is_not_frontal(header.view):
            raise CaseSkippedError(f"view {header.view}; this bundle reads frontal views")
        if not header.grey:
            raise CaseSkippedError("is a colour image; this bundle reads grey ones")
        if header.frames > 1 and not self.split_frames:
            raise CaseSkippedError(f"has {header.frames} frames; set rules.split_frames=true to read each")
        check_pixel_count(header.rows, header.columns)
        if min(header.rows, header.columns) < self.minimum_side:
            raise CaseSkippedError(
                f"{header.rows} x {header.columns} pixels; this bundle reads from {self.minimum_side} per side"
            )


def _is_not_frontal(view: str) -> bool:
    """Lateral and oblique views of DICOM's ViewPosition terms, and view code meanings that say so."""
    words = set(re.findall(r"[A-Z]+", view.upper()))
    if "DECUBITUS" in words:  # the patient lies on a side, the beam still runs from front to back
        return False
    return bool(words & {"LL", "RL", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "LAT", "LATERAL", "OBLIQUE"})


@dataclass
class Case:
    """One unit of a batch.

    ``status`` is "pending" until the case was run; "skipped" and "failed" come with a ``reason``. ``patient`` is a
    number given in order of appearance: neither the id nor the name leaves the input.
    """

    case: str
    file: str
    image: str
    status: str = "pending"
    reason: str = ""
    patient: str = ""
    sex: str = ""
    age: str = ""
    view: str = ""
    modality: str = ""
    manufacturer: str = ""
    rows: int = 0
    columns: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionary, as MONAI transforms take it; the extra keys stand beside the others."""
        values = asdict(self)
        return {**values.pop("extra"), **values}


def find_radiographs(
    paths: str | Path | Sequence[str | Path], rules: RadiographRules | None = None
) -> list[dict[str, Any]]:
    """Find the cases under ``paths``: files, folders (searched recursively), zip archives, DICOMDIR files.

    Headers are read, pixels are not. Cases come in the order of the paths given, then of the sorted file names; a
    second copy of a file is skipped, a second image of the same SOPInstanceUID keeps a name of its own and a note.

    Args:
        paths: One path or several.
        rules: What counts as an image for the bundle; the defaults take frontal chest radiographs.

    Returns:
        One dictionary per file found, with the keys of ``Case``.

    Raises:
        RequestError: A path does not exist, or there is no file under any of them.
    """
    rules = rules or RadiographRules()
    roots = [Path(p).expanduser() for p in ([paths] if isinstance(paths, str | Path) else paths)]
    for root in roots:
        if not root.exists():
            raise RequestError(f"input '{root}' does not exist; give a file, a folder, a zip archive or a DICOMDIR")
    several = len(roots) > 1
    register = _Register()
    for root in roots:
        for item in _walk(root):
            label = _label(item.source, root, several)
            for case in _cases_of(item, label, rules, register):
                register.add(case)
    if not register.cases:
        raise RequestError(f"no files under {', '.join(str(r) for r in roots)}")
    return [case.as_dict() for case in register.cases]


@dataclass(frozen=True)
class _Found:
    source: Source
    error: CaseError | None = None


def _walk(root: Path) -> Iterator[_Found]:
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    seen: set[Path] = set()
    for path in files:
        if path.name.upper() == "DICOMDIR":
            yield from _dicomdir(path, inside=root.is_dir(), seen=seen)
        elif path.resolve() not in seen:
            seen.add(path.resolve())
            yield from _archive(path) if path.suffix.lower() == ".zip" else [_Found(Source(path))]


def _archive(path: Path) -> Iterator[_Found]:
    try:
        members = zip_members(path)
    except CaseError as error:
        yield _Found(Source(path), error)
        return
    if not members:
        yield _Found(Source(path), CaseSkippedError("zip archive holds no files"))
    for member in members:
        yield _Found(Source(path, member))


def _dicomdir(path: Path, *, inside: bool, seen: set[Path]) -> Iterator[_Found]:
    """The index itself, and the files it names that a search of the folder would not find."""
    base = path.parent.resolve()
    try:
        names = list(_referenced_files(path))
    except CaseError as error:
        yield _Found(Source(path), error)
        return
    yield _Found(Source(path), CaseSkippedError(f"DICOMDIR, an index of {len(names)} files"))
    for name in names:
        target = base.joinpath(*name)
        if base not in target.resolve().parents:
            yield _Found(Source(target), CaseFailedError("named by a DICOMDIR, but lies outside its folder: refused"))
        elif not target.is_file():
            yield _Found(Source(target), CaseFailedError("named by a DICOMDIR, but missing on disk"))
        elif not inside and target.resolve() not in seen:
            seen.add(target.resolve())
            yield _Found(Source(target))


def _referenced_files(path: Path) -> Iterator[list[str]]:
    import pydicom

    try:
        records = pydicom.dcmread(path).get("DirectoryRecordSequence") or []
    except Exception as error:
        raise CaseFailedError(f"unreadable DICOMDIR ({type(error).__name__}: {error})") from error
    for record in records:
        name = record.get("ReferencedFileID")
        if name:
            yield [name] if isinstance(name, str) else [str(part) for part in name]


def _label(source: Source, root: Path, several: bool) -> str:
    """The path as cases.csv shows it: relative to the root that was given, whose name leads where there are several."""
    base = root if root.is_dir() else root.parent
    relative = source.path.relative_to(base) if source.path.is_relative_to(base) else source.path
    shown = Path(base.name, relative) if several and root.is_dir() else relative
    return shown.as_posix() + (f"!/{source.member}" if source.member is not None else "")


def _cases_of(item: _Found, label: str, rules: RadiographRules, register: _Register) -> Iterator[Case]:
    stem = _safe_name(Path(item.source.name).stem or item.source.name)
    case = Case(case=stem, file=label, image=str(item.source))
    try:
        if item.error is not None:
            raise item.error
        with item.source.open() as stream:
            head = stream.read(132)
            kind = file_kind(head, item.source.name)
            stream.seek(0)
            if kind == "dicom":
                yield from _dicom_cases(case, stream, rules, register)
                return
        if kind not in ("png", "jpeg", "nifti"):
            raise CaseSkippedError(_not_an_image(kind, item.source.name))
        case.patient = register.patient(f"file {case.image}")
    except CaseError as error:
        case.status, case.reason = error.status, str(error)
    yield case


def _not_an_image(kind: str, name: str) -> str:
    if kind == "zip":
        return "zip archive inside a zip archive; unpack it first"
    return f"not DICOM, PNG, JPEG or NIfTI (file type '{Path(name).suffix or 'none'}')"


def _dicom_cases(case: Case, stream: Any, rules: RadiographRules, register: _Register) -> Iterator[Case]:
    header = dicom_radiograph.read_header(stream)
    case.case = _safe_name(header.sop_instance_uid) or case.case
    case.sex, case.age, case.view = header.sex, header.age, header.view
    case.modality, case.manufacturer = header.modality, header.manufacturer
    case.rows, case.columns = header.rows, header.columns
    try:
        rules.check(header)
        stream.seek(0)
        digest = hashlib.sha256(stream.read()).hexdigest()
        register.note_repeats(case, header.sop_instance_uid, digest)
        # Without an id every file counts as a patient of its own: joining strangers would be the worse guess.
        case.patient = register.patient(header.patient_id or f"file {case.image}")
    except CaseError as error:
        case.status, case.reason = error.status, str(error)
        yield case
        return
    if header.frames == 1:
        yield case
        return
    for frame in range(header.frames):
        split = Case(**{**asdict(case), "case": f"{case.case}_frame{frame:04d}"})
        split.image = f"{case.image}#frame={frame}"
        yield split


class _Register:
    """What must be unique over a whole search: case names, instance UIDs, patient numbers."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self._names: set[str] = set()
        self._instances: dict[str, tuple[str, set[str]]] = {}
        self._patients: dict[str, str] = {}

    def add(self, case: Case) -> None:
        name, number = case.case, 2
        while case.case.lower() in self._names:
            case.case, number = f"{name}_{number}", number + 1
        self._names.add(case.case.lower())
        self.cases.append(case)

    def patient(self, key: str) -> str:
        return self._patients.setdefault(key, f"P{len(self._patients) + 1:05d}")

    def note_repeats(self, case: Case, uid: str, digest: str) -> None:
        if not uid:
            return
        first, digests = self._instances.setdefault(uid, (case.file, set()))
        if digest in digests:
            raise CaseSkippedError(f"the same file as '{first}' (same SOPInstanceUID and bytes)")
        if digests:
            case.reason = f"same SOPInstanceUID as '{first}' but other content: both were read; check the export"
        digests.add(digest)


def _safe_name(text: str) -> str:
    """A name for files on every system: letters, digits, '.', '_' and '-', at most 100 of them."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._")[:100]
