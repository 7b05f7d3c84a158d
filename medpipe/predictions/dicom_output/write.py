"""The objects of one case, written into its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseFailedError, MedpipeError, RequestError
from medpipe.io.quiet import quiet_headers
from medpipe.io.radiograph import read_radiograph
from medpipe.io.sources import Source
from medpipe.predictions.dicom_output.pictures import presentation_state, secondary_capture
from medpipe.predictions.dicom_output.producer import Producer, complete_header, finish
from medpipe.predictions.dicom_output.segmentation import segmentation
from medpipe.predictions.dicom_output.sources import has_place, read_sources, sorted_slices
from medpipe.predictions.dicom_output.structured_report import measurement_report

__all__ = ["KINDS", "check_kinds", "write_dicom_results"]

KINDS = {
    "sr": "structured report with the marks as measurements (TID 1500)",
    "pr": "presentation state with the marks, which viewers lay over the image",
    "sc": "secondary capture: a picture of the image with the marks, and with maps where there are some",
    "seg": "segmentation of a mask",
}


def check_kinds(text: str | Sequence[str]) -> tuple[str, ...]:
    """Read "sr,sc" or a list of kinds; nothing for an empty one.

    Raises:
        RequestError: A kind is unknown.
    """
    kinds = [part.strip() for part in text.split(",")] if isinstance(text, str) else list(text)
    kinds = [kind for kind in kinds if kind]
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise RequestError(f"DICOM output '{unknown[0]}' is unknown; there are {', '.join(KINDS)}")
    return tuple(dict.fromkeys(kinds))


def write_dicom_results(
    source: str | Sequence[str],
    folder: Path,
    kinds: str | Sequence[str],
    producer: Producer,
    *,
    marks: Sequence[dict[str, Any]] = (),
    score: float | None = None,
    maps: Mapping[str, npt.NDArray[np.float32]] | None = None,
    mask: npt.NDArray[Any] | None = None,
    segments: Mapping[int, str] | None = None,
    affine: npt.NDArray[np.float64] | None = None,
) -> list[Path]:
    """Write a case's results as DICOM objects of the patient's study: <kind>.dcm in ``folder``.

    The objects hold the patient's data, as all of the study does; their names do not. The same results, sources and run
    give the same bytes.

    Args:
        source: The image, in the one-string form of ``medpipe.io.sources``, or the files of a series.
        folder: Where to write; it exists.
        kinds: Of ``KINDS``, as a list or as "sr,sc".
        producer: The run.
        marks: With the columns of marks.csv, by falling score; in a series also "z", the slice by position.
        score: Of the whole image, in [0, 1].
        maps: For "sc", a title to a map over the image, of any size, from 0 to 1.
        mask: For "seg", see ``segmentation``.
        segments: Name of each label of the mask.
        affine: Of the mask.

    Returns:
        The files; none where the source is no DICOM, since there is no study to put them into.

    Raises:
        CaseFailedError: A source cannot be read.
        RequestError: A kind is unknown, or the mask does not fit.
    """
    chosen = check_kinds(kinds)
    paths = [source] if isinstance(source, str) else list(source)
    if "seg" in chosen and (mask is None or segments is None):
        raise RequestError("a segmentation needs a mask and the names of its labels")
    with quiet_headers():
        headers = [complete_header(header) for header in read_sources(paths)] if chosen else []
        if not headers:
            return []
        _check_study(headers)
        if len(headers) > 1 and has_place(headers):
            headers = sorted_slices(headers)
        try:
            made = {
                kind: _make(kind, paths, headers, producer, marks, score, maps or {}, mask, segments, affine)
                for kind in chosen
            }
        except MedpipeError:
            raise
        except Exception as error:  # a header that lacks or garbles what its standard asks for; the text may quote it
            raise CaseFailedError(f"no DICOM result can be made from its header ({type(error).__name__})") from None
        description = f"{producer.name}: not for clinical use"
        return [finish(made[kind], producer, description, folder, f"{kind}.dcm") for kind in chosen]


def _check_study(headers: Sequence[Any]) -> None:
    needed = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    lacking = [name for name in needed if not all(header.get(name) for header in headers)]
    if lacking:
        raise CaseFailedError(f"its header lacks {lacking[0]}; without it there is no study to put results into")
    if len({str(header.StudyInstanceUID) for header in headers}) > 1:
        raise RequestError("the sources are of several studies; results go into one")


def _make(
    kind: str,
    paths: Sequence[str],
    headers: Sequence[Any],
    producer: Producer,
    marks: Sequence[dict[str, Any]],
    score: float | None,
    maps: Mapping[str, npt.NDArray[np.float32]],
    mask: npt.NDArray[Any] | None,
    segments: Mapping[int, str] | None,
    affine: npt.NDArray[np.float64] | None,
) -> Any:
    if kind == "sr":
        return measurement_report(headers, marks, producer, score=score, frame=Source.parse(paths[0]).frame)
    if kind == "pr":
        return presentation_state(headers[0], marks, producer)
    if kind == "sc":
        return secondary_capture(headers[0], read_radiograph(paths[0]).pixels, marks, producer, maps)
    if Source.parse(paths[0]).frame is not None:
        raise CaseFailedError("a segmentation of one frame of a multi-frame file is not written; leave seg out")
    return segmentation(headers, mask, segments, producer, affine=affine)  # type: ignore[arg-type]
