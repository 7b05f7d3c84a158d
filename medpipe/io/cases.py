"""From paths to cases: every file that is found becomes exactly one case, with a status and a reason."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from medpipe.errors import CaseError, CaseSkippedError, RequestError
from medpipe.io import dicom_radiograph
from medpipe.io.dicom_file import short
from medpipe.io.privacy import PatientWords, defined_term
from medpipe.io.radiograph import check_pixel_count, file_kind
from medpipe.io.search import FoundFile, search
from medpipe.io.sources import Source

__all__ = ["Case", "RadiographRules", "find_radiographs", "safe_name"]


MAX_FRAMES = 1000
"""Most frames of one file that become cases; a header can declare any number."""

_MODALITY = r"[A-Z][A-Z0-9]{1,15}"
_VIEW = r"[A-Z0-9_ ]{1,64}"
"""Terms and code meanings, in capitals."""


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
            shown = defined_term(header.modality, _MODALITY) or "not given"
            raise CaseSkippedError(f"modality {shown}; this bundle reads {expected}")
        if not header.has_pixels:
            raise CaseSkippedError("has no pixel data")
        if header.body_part and self.body_parts and not any(p in header.body_part for p in self.body_parts):
            shown = defined_term(header.body_part)
            raise CaseSkippedError(f"body part {shown}; this bundle reads {', '.join(self.body_parts)}")
        if self.frontal_only and _is_not_frontal(header.view):
            raise CaseSkippedError(f"view {defined_term(header.view, _VIEW)}; this bundle reads frontal views")
        if not header.grey:
            raise CaseSkippedError("is a colour image; this bundle reads grey ones")
        if header.frames > 1 and not self.split_frames:
            raise CaseSkippedError(f"has {header.frames} frames; set rules.split_frames=true to read each")
        if header.frames > MAX_FRAMES:
            raise CaseSkippedError(f"declares {header.frames} frames, more than the {MAX_FRAMES} that are split")
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
    number given in order of appearance: neither the id nor the name leaves the input. ``image`` is where the case is read
    from, and goes into no record; ``file`` is what is shown of it.
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
    bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionary, as MONAI transforms take it."""
        return asdict(self)


def find_radiographs(
    paths: str | Path | Sequence[str | Path],
    rules: RadiographRules | None = None,
    privacy: PatientWords | None = None,
) -> list[dict[str, Any]]:
    """Find the cases under ``paths``: files, folders (searched recursively), zip archives, DICOMDIR files.

    Headers are read, pixels are not. Cases come in the order of the paths given, then of the sorted file names. A
    second copy of a DICOM file is skipped; another image of the same SOPInstanceUID keeps a name of its own and a note.

    A case is named by its SOPInstanceUID, else by its file; by a hash where that is no UID or names a patient. Words that
    name the patient of any file found are hidden in the paths and reasons of all.

    Args:
        paths: One path or several.
        rules: What counts as an image for the bundle; the defaults take frontal chest radiographs.
        privacy: Takes up what the headers say of their patients.

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
    register = _Register(PatientWords() if privacy is None else privacy)
    found = [case for file in search(roots) for case in _cases_of(file, rules, register)]
    if not found:
        raise RequestError(f"no files under {', '.join(str(r) for r in roots)}")
    for case in found:  # not before all headers are known: one patient's name may be the folder of another's file
        register.add(case)
    return [case.as_dict() for case in register.cases]


def _cases_of(found: FoundFile, rules: RadiographRules, register: _Register) -> list[Case]:
    source = found.source
    name = safe_name(Path(source.name).stem or source.name) or _short_hash(found.label)
    case = Case(case=name, file=found.label, image=str(source))
    try:
        if found.error is not None:
            raise found.error
        case.bytes = source.path.stat().st_size
        with source.open() as stream:
            kind = file_kind(stream.read(132), source.name)
            stream.seek(0)
            if kind == "dicom":
                return _dicom_cases(case, stream, rules, register)
        if kind not in ("png", "jpeg", "nifti", "metaimage", "jsrt"):
            raise CaseSkippedError(_not_an_image(kind, source.name))
        case.patient = register.patient(f"file {case.image}")
    except CaseError as error:
        case.status, case.reason = error.status, str(error)
        register.words.add(error.words)
    except Exception as error:  # a fault of the disk, or one that no reader foresaw: it belongs to this file alone
        case.status, case.reason = "failed", f"cannot be read ({short(error)})"
    return [case]


def _not_an_image(kind: str, name: str) -> str:
    if kind == "zip":
        return "zip archive inside a zip archive; unpack it first"
    return f"not DICOM, PNG, JPEG, NIfTI or MetaImage (file type '{Path(name).suffix[:16] or 'none'}')"


def _dicom_cases(case: Case, stream: Any, rules: RadiographRules, register: _Register) -> list[Case]:
    header = dicom_radiograph.read_header(stream)
    register.words.add(header.words)
    case.case = _name_of(header.sop_instance_uid) or case.case
    case.sex, case.age, case.view = header.sex, header.age, defined_term(header.view, _VIEW)
    case.modality, case.manufacturer = defined_term(header.modality, _MODALITY), header.manufacturer
    case.rows, case.columns = header.rows, header.columns
    rules.check(header)
    register.note_repeats(case, header.sop_instance_uid)
    # Without an id every file counts as a patient of its own: joining strangers would be the worse guess.
    case.patient = register.patient(header.patient_id or f"file {case.image}")
    if header.frames == 1:
        return [case]
    return [
        replace(case, case=f"{case.case}_frame{frame:04d}", image=f"{case.image}#frame={frame}")
        for frame in range(header.frames)
    ]


def _name_of(uid: str) -> str:
    """A SOPInstanceUID as a case's name; whatever else stands in its place may name the patient, and is hashed."""
    if not uid or re.fullmatch(r"(?=.*\d)[0-9.]{1,64}", uid):
        return safe_name(uid)
    return "instance-" + hashlib.sha256(uid.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class _Register:
    """What must be unique over a whole search: case names, instance UIDs, patient numbers; and what must not show."""

    def __init__(self, words: PatientWords) -> None:
        self.words = words
        self.cases: list[Case] = []
        self._names: set[str] = set()
        self._instances: dict[str, list[Case]] = {}
        self._patients: dict[str, str] = {}

    def add(self, case: Case) -> None:
        if self.words.hides(case.case):
            case.case = _short_hash(case.image)
        for part in ("file", "reason", "view", "modality", "manufacturer"):
            setattr(case, part, self.words(getattr(case, part)))
        name, number = case.case, 2
        while case.case.lower() in self._names:
            case.case, number = f"{name}_{number}", number + 1
        self._names.add(case.case.lower())
        self.cases.append(case)

    def patient(self, key: str) -> str:
        return self._patients.setdefault(key, f"P{len(self._patients) + 1:05d}")

    def note_repeats(self, case: Case, uid: str) -> None:
        """Compare a case with earlier ones of its SOPInstanceUID; most files have one of their own and are not read."""
        earlier = self._instances.setdefault(uid, []) if uid else []
        for other in earlier:
            if _content(other) == _content(case):
                raise CaseSkippedError(f"the same file as '{other.file}' (same SOPInstanceUID and bytes)")
        if earlier:
            first = earlier[0].file
            case.reason = f"same SOPInstanceUID as '{first}' but other content: both were read; check the export"
        earlier.append(replace(case))


def _content(case: Case) -> str:
    with Source.parse(case.image).open() as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def _short_hash(text: str) -> str:
    return "file-" + hashlib.sha256(text.encode("utf-8")).hexdigest()[:8]


def safe_name(text: str) -> str:
    """A name for files on every system: letters, digits, '.', '_' and '-', at most 100 of them."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._")[:100]
