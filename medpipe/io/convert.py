"""Folders of DICOM to NIfTI volumes with sidecars; every file found ends in exactly one row of files.csv.

    OUT/convert.json            the request, and how it ended
    OUT/files.csv               one row per input file: converted, skipped or failed, and why
    OUT/volumes.csv             one row per volume: converted or refused, and its findings
    OUT/volumes/<name>.nii.gz   and <name>.json beside it

A conversion that was stopped goes on when it is started again: a volume whose sidecar tells of the same input and whose
bytes are the ones it tells of is not made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe import __version__
from medpipe.errors import CaseError, CaseFailedError, RequestError
from medpipe.io.conversion_folder import claim, digest_of, sha256_of, write_csv, write_json
from medpipe.io.findings import KINDS, Finding, Policy, found
from medpipe.io.folder_lock import locked
from medpipe.io.header_store import HeaderStore
from medpipe.io.instances import Instance
from medpipe.io.nifti import write_nifti
from medpipe.io.privacy import name_hider
from medpipe.io.segmentation_objects import Segmentation, read_segmentation, referenced_series
from medpipe.io.series import FileEntry, Index, Series, index_files
from medpipe.io.sidecar import describe, time_step
from medpipe.io.stack import Stack
from medpipe.io.volume import SliceError, VolumeRefusedError, read_volume

__all__ = ["Conversion", "VolumeRow", "convert"]

_End = tuple[Instance, str, str, str, str]
"""What becomes of a file: its instance, status, code, reason and volume."""


@dataclass
class VolumeRow:
    """One volume, as volumes.csv shows it."""

    volume: str
    status: str
    reason: str
    modality: str
    shape: str = ""
    voxel_mm: str = ""
    findings: str = ""
    files: int = 0


@dataclass
class Conversion:
    """How a conversion ended.

    Attributes:
        output: Its folder.
        volumes: One row per volume.
        files: Number of input files by status.
    """

    output: Path
    volumes: list[VolumeRow] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Volumes done and failed; a file that failed without belonging to a volume counts as one."""
        done = sum(row.status == "converted" for row in self.volumes)
        refused = len(self.volumes) - done
        return {"done": done, "failed": refused + (1 if self.files.get("failed") and not refused else 0)}


def convert(
    paths: Sequence[str | Path],
    output: str | Path,
    *,
    policy: Policy = "strict",
    identified: bool = False,
    store: HeaderStore | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Convert everything under ``paths``.

    Args:
        paths: Files, folders, zip archives or DICOMDIR files.
        output: New or empty folder, or that of the same request.
        policy: What to do about what one affine cannot say; see ``medpipe.io.findings``.
        identified: Write patients' identities and UIDs into the sidecars, and paths as they are into the tables.
        store: Headers of an earlier look at these files.
        progress: Called with the numbers of series done and of all.

    Raises:
        RequestError: A path does not exist, or the folder holds something else or is in use.
    """
    folder = Path(output).expanduser()
    request = {
        "command": "convert",
        "medpipe": __version__,
        "inputs": [str(Path(path).expanduser().resolve()) for path in paths],
        "policy": policy,
        "identified": identified,
    }
    for path in paths:
        if not Path(path).expanduser().exists():
            raise RequestError(f"input '{path}' does not exist; give a file, a folder, a zip archive or a DICOMDIR")
    claim(folder, request)
    with locked(folder):
        (folder / "volumes").mkdir(exist_ok=True)
        index = index_files(paths, store, without=[folder])
        run = _Run(index, folder, policy, identified)
        for number, series in enumerate(index.series):
            run.convert_series(series)
            if progress is not None:
                progress(number + 1, len(index.series))
        run.convert_annotations()
        return run.finish(request)


class _Run:
    def __init__(self, index: Index, folder: Path, policy: Policy, identified: bool) -> None:
        self.index = index
        self.folder = folder
        self.policy = policy
        self.identified = identified
        self.rows: list[VolumeRow] = []
        self.hide = name_hider(index.names, identified=identified)

    def convert_series(self, series: Series) -> None:
        """All volumes of a series; a file that turns out to be undecodable is taken out and the rest laid out anew."""
        bad: list[Instance] = []
        while True:
            stacks = series.stacks(bad)
            names = [series.name if len(stacks) == 1 else f"{series.name}_v{n + 1}" for n in range(len(stacks))]
            rows: list[VolumeRow] = []
            ends: list[_End] = []  # not noted before the whole series is done: a bad file starts it anew
            try:
                for stack, name in zip(stacks, names, strict=True):
                    rows.append(self._convert_stack(stack, name, series, ends))
            except SliceError as error:
                self._drop(names)
                bad.append(error.instance)
                self.index.files[error.instance.label].close("failed", "undecodable_pixels", str(error))
                series.findings.append(found("unreadable_slice", str(error), [error.instance.label]))
                continue
            self.rows.extend(rows)
            for end in ends:
                self._close(*end)
            if not stacks:
                self.rows.append(
                    VolumeRow(series.name, "refused", "no image of the series can be read", series.modality)
                )
            return

    def _drop(self, names: list[str]) -> None:
        for name in names:
            for suffix in (".json", ".nii.gz"):
                (self.folder / "volumes" / f"{name}{suffix}").unlink(missing_ok=True)

    def _convert_stack(self, stack: Stack, name: str, series: Series, ends: list[_End]) -> VolumeRow:
        row = VolumeRow(name, "converted", "", series.modality, files=len({id(i.instance) for i in stack.all_images}))
        fingerprint = self._fingerprint(stack)
        described = self._resume(name, fingerprint)
        if described is None:
            try:
                described = self._write(stack, name, fingerprint)
            except (SliceError, OSError):
                raise
            except CaseFailedError as error:
                findings = error.findings if isinstance(error, VolumeRefusedError) else []
                return self._refuse(stack, row, str(error), findings, ends)
            except Exception as error:  # what no reader foresaw belongs to this volume alone
                return self._refuse(stack, row, f"cannot be converted ({type(error).__name__})", [], ends)
        row.shape = " x ".join(map(str, described["geometry"]["shape"]))
        row.voxel_mm = " x ".join(f"{v:g}" for v in described["geometry"]["voxel_mm"])
        row.findings = " ".join(dict.fromkeys(finding["code"] for finding in described["findings"]))
        left_out = {id(image.instance): (image.instance, code) for image, code in stack.left_out}
        for instance in {id(image.instance): image.instance for image in stack.all_images}.values():
            ends.append((instance, "converted", "", "", name))
        for instance, code in left_out.values():
            ends.append((instance, "skipped", code, f"left out of {name}: {code}", ""))
        return row

    def _refuse(
        self, stack: Stack, row: VolumeRow, reason: str, findings: list[Finding], ends: list[_End]
    ) -> VolumeRow:
        row.status, row.reason = "refused", reason
        row.findings = " ".join(dict.fromkeys(finding.code for finding in [*findings, *stack.findings]))
        code = findings[0].code if findings else "impossible_size"
        for image in (*stack.all_images, *(image for image, _ in stack.left_out)):
            ends.append((image.instance, "failed", code, f"{row.volume} was refused: {row.reason}", ""))
        return row

    def _close(self, instance: Instance, status: str, code: str, reason: str, volume: str) -> None:
        entry = self.index.files[instance.label]
        entry.close(status, code, reason)
        if volume:
            entry.volumes.append(volume)

    def _fingerprint(self, stack: Stack) -> str:
        parts = [
            [
                i.instance.label,
                i.instance.size,
                i.instance.sop,
                i.frame,
                i.tile,
                i.instance.source.path.stat().st_mtime_ns,
            ]
            for i in stack.all_images
        ]
        codes = [finding.as_dict() for finding in stack.findings]
        return hashlib.sha256(json.dumps([parts, codes, self.policy], default=str).encode()).hexdigest()

    def _resume(self, name: str, fingerprint: str) -> dict[str, Any] | None:
        """The sidecar of a volume that is already there, whole and of the same input."""
        target = self.folder / "volumes" / f"{name}.nii.gz"
        try:
            described: dict[str, Any] = json.loads(target.with_name(f"{name}.json").read_text(encoding="utf-8"))
            same = described["fingerprint"] == fingerprint and described["sha256"] == sha256_of(target)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return described if same else None

    def _write(self, stack: Stack, name: str, fingerprint: str) -> dict[str, Any]:
        volume = read_volume(stack, self.policy)
        described = describe(volume, stack, identified=self.identified)
        for key in ("image_type", "intensity", "acquisition", "transfer_syntax", "findings"):
            described[key] = self.hide.nested(described[key])
        target = self.folder / "volumes" / f"{name}.nii.gz"
        write_nifti(target, volume.array, volume.affine, colour=volume.colour, time_step=time_step(volume, stack))
        content = {
            "volume": name,
            "medpipe": __version__,
            "policy": self.policy,
            **described,
            "fingerprint": fingerprint,
            "sha256": sha256_of(target),
        }
        write_json(target.with_name(f"{name}.json"), content)
        return content

    def convert_annotations(self) -> None:
        """Segmentation objects, onto the grids of the series that they refer to."""
        numbers: dict[str, int] = {}
        for entry in self.index.annotations:
            try:
                series, segmentation = self._segmentation(entry)
            except OSError:
                raise
            except Exception as error:  # damaged objects raise many kinds; each belongs to its file alone
                reason = str(error) if isinstance(error, CaseError) else f"cannot be read ({type(error).__name__})"
                code = reason.split(":", 1)[0]
                known = code in ("segmentation_off_grid", "no_referenced_series")
                entry.close("failed", code if known else "unreadable_file", reason)
                self.rows.append(VolumeRow("", "refused", reason, "SEG", findings=code if known else "", files=1))
                continue
            numbers[series.name] = numbers.get(series.name, 0) + 1
            name = f"{series.name}_segmentation{numbers[series.name]}"
            self._write_segmentation(name, segmentation)
            entry.close("converted", "", "")
            entry.volumes.append(name)
            shape = " x ".join(map(str, segmentation.array.shape))
            codes = " ".join(dict.fromkeys(finding.code for finding in segmentation.findings))
            self.rows.append(VolumeRow(name, "converted", "", "SEG", shape, "", codes, 1))

    def _segmentation(self, entry: FileEntry) -> tuple[Series, Segmentation]:
        uids = referenced_series(entry.source)
        reason: CaseFailedError = CaseFailedError(f"no_referenced_series: {KINDS['no_referenced_series'].means}")
        for series in self.index.series:
            if series.series_uid not in uids and not any(instance.sop in uids for instance in series.instances):
                continue
            for stack in series.stacks():
                errors = [finding for finding in stack.findings if finding.severity == "error"]
                if errors and self.policy != "warn":
                    reason = CaseFailedError(
                        f"segmentation_off_grid: its series was not converted as it is: {errors[0].code}"
                    )
                    continue
                try:
                    return series, read_segmentation(entry.source, stack)
                except CaseFailedError as error:
                    reason = error
        raise reason

    def _write_segmentation(self, name: str, segmentation: Segmentation) -> None:
        target = self.folder / "volumes" / f"{name}.nii.gz"
        write_nifti(target, segmentation.array, segmentation.affine)
        content = {
            "volume": name,
            "medpipe": __version__,
            "segments": self.hide.nested([vars(segment) for segment in segmentation.segments]),
            "findings": self.hide.nested([finding.as_dict() for finding in segmentation.findings]),
            "sha256": sha256_of(target),
        }
        write_json(target.with_name(f"{name}.json"), content)

    def _clear_away(self) -> None:
        """Volumes of an earlier try that this one, on changed input, did not make."""
        made = {row.volume for row in self.rows if row.status == "converted"}
        for path in (self.folder / "volumes").glob("P[0-9]*_study*_series*"):
            if path.name.split(".")[0] not in made:
                path.unlink()

    def finish(self, request: dict[str, Any]) -> Conversion:
        for entry in self.index.niftis:
            entry.close("skipped", "no_image", "is NIfTI already; nothing to convert")
        for entry in self.index.files.values():
            if not entry.status:
                entry.close("failed", "unreadable_file", "was not reached; please report this")
        self._clear_away()
        for row in self.rows:
            row.reason = self.hide(row.reason)
        result = Conversion(self.folder, self.rows)
        for entry in self.index.files.values():
            result.files[entry.status] = result.files.get(entry.status, 0) + 1
        files = [
            {
                "file": self.hide(entry.label),
                "status": entry.status,
                "code": entry.code,
                "reason": self.hide(entry.reason),
                "see": self.hide(entry.see),
                "volumes": " ".join(entry.volumes),
            }
            for entry in self.index.files.values()
        ]
        write_csv(self.folder / "files.csv", files)
        write_csv(self.folder / "volumes.csv", [vars(row) for row in self.rows])
        record = {
            "request_sha256": digest_of(request),
            "finished": True,
            "medpipe": __version__,
            "policy": self.policy,
            "identified": self.identified,
            "files": result.files,
            "volumes": {s: sum(r.status == s for r in self.rows) for s in ("converted", "refused")},
        }
        write_json(self.folder / "convert.json", record)
        return result
