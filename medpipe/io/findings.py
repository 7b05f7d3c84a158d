"""What was found odd about a series, by name: a code, how grave it is, which files, which numbers.

Geometry and intensity never change in silence: whatever is not plain in the input comes out as a finding, and an error
among them is dealt with by the policy that was asked for.

    note      recorded; the volume is exactly what the files say
    warning   the volume is exactly what the files say, but a reader should look (a part was split off, tags disagree)
    error     an array with one affine cannot say it faithfully: refused by policy "strict", converted as the files come
              close to it by "warn", resampled by "repair" where that has a sound way
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["KINDS", "POLICIES", "Finding", "Kind", "Policy", "found", "refusals"]

Policy = Literal["strict", "warn", "repair"]
POLICIES: tuple[Policy, ...] = ("strict", "warn", "repair")


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        severity: "note", "warning" or "error".
        means: What it says about the input.
        warn: What policy "warn" does about an error; "" where it cannot convert either.
        repair: What policy "repair" does about it; "" where it refuses.
    """

    severity: Literal["note", "warning", "error"]
    means: str
    warn: str = ""
    repair: str = ""


_LINE = "slices evenly spaced from the first to the last"
_REGRID = "slices interpolated onto an even, upright grid"

KINDS: dict[str, Kind] = {
    # single files
    "unreadable_file": Kind("error", "a file cannot be read"),
    "header_cut_short": Kind("error", "a DICOM image ends before its pixel data"),
    "impossible_size": Kind("error", "a header declares a size that its bytes cannot hold, or that is beyond bounds"),
    "pixels_cut_short": Kind("error", "pixel data have fewer bytes than the header declares"),
    "undecodable_pixels": Kind("error", "pixel data cannot be decoded"),
    "unknown_transfer_syntax": Kind("error", "there is no decoder for the transfer syntax"),
    "foreign_file": Kind("note", "a file that is neither DICOM nor NIfTI"),
    "no_image": Kind("note", "a DICOM object without an image (report, presentation state, index)"),
    "duplicate_file": Kind("note", "a second copy of the same instance, left out"),
    # which images belong together
    "no_series_uid": Kind("warning", "the images name no series; those of one folder and series number were joined"),
    "shared_series_uid": Kind("warning", "one series UID is used by several patients or studies; they were kept apart"),
    "conflicting_duplicates": Kind("error", "one instance UID stands for different images", warn="the first is kept"),
    "localizer_in_series": Kind("warning", "localizer images lie in the series; they were kept apart"),
    "mixed_orientation": Kind("warning", "the series holds several orientations; each is a volume of its own"),
    "mixed_matrix": Kind("warning", "the series holds several matrix sizes; each is a volume of its own"),
    "mixed_pixel_spacing": Kind("warning", "the series holds several pixel spacings; each is a volume of its own"),
    "mixed_frame_of_reference": Kind("warning", "positions refer to several frames of reference; each is a volume"),
    "unplaced_images": Kind("warning", "images of the series do not say where they lie; they were kept apart"),
    "mixed_photometric": Kind("warning", "the series holds several kinds of pixels; each is a volume of its own"),
    "mixed_modality": Kind("warning", "the series holds several modalities; each is a volume of its own"),
    "several_kinds": Kind("note", "echoes, image types or components of one series are volumes of their own"),
    "unreadable_slice": Kind("error", "an image of the series cannot be decoded", warn="converted without it"),
    "unreadable_neighbour": Kind("warning", "a file beside the series cannot be read; it may be a part of it"),
    # geometry
    "missing_slices": Kind("error", "slices are missing between the first and the last", _LINE, _REGRID),
    "uneven_spacing": Kind("error", "the distance between slices varies", _LINE, _REGRID),
    "gantry_tilt": Kind(
        "error", "slices are shifted against each other: the grid is sheared", "a sheared affine", _REGRID
    ),
    "slices_not_aligned": Kind("error", "slices do not lie on one line", _LINE, _REGRID),
    "repeated_position": Kind("error", "two images lie at one position", warn="the first by instance number is kept"),
    "incomplete_time_point": Kind("error", "a time point lacks slices", warn="only complete time points are kept"),
    "no_pixel_spacing": Kind("error", "the distance of pixels is not given", warn="1 mm is assumed"),
    "invalid_pixel_spacing": Kind("error", "the distance of pixels is no positive number", warn="1 mm is assumed"),
    "no_position": Kind(
        "error", "the images do not say where they lie in the patient", warn="stacked by instance number, upright"
    ),
    "invalid_position": Kind("error", "a position is not three finite numbers"),
    "invalid_orientation": Kind("error", "the orientation is not two perpendicular unit vectors"),
    "frames_without_position": Kind(
        "error", "the frames do not say where they lie in the patient", warn="stacked in their order, 1 mm apart"
    ),
    "mosaic_unreadable": Kind("error", "a mosaic does not say how it is composed"),
    "spacing_contradicts_header": Kind("warning", "SpacingBetweenSlices is not the distance of the positions"),
    "instance_number_gap": Kind("warning", "instance numbers have gaps; images may be missing"),
    "fewer_images_than_declared": Kind("warning", "the header declares more images than there are"),
    "few_slices": Kind("warning", "too few slices to see whether one is missing"),
    "slice_spacing_assumed": Kind("warning", "one slice: its extent is the slice thickness, or 1 mm without one"),
    "tilt_only_in_header": Kind("warning", "the header names a gantry tilt that positions and orientation do not show"),
    "no_patient_geometry": Kind(
        "warning", "a projection or picture: it has rows and columns, but no place in a patient"
    ),
    "spacing_at_detector": Kind("warning", "pixel spacing is the detector's, not corrected for magnification"),
    "time_by_instance_number": Kind("note", "time points are ordered by instance number for want of a better label"),
    "time_unordered": Kind("warning", "time points carry no label that tells their order"),
    # intensity
    "monochrome1": Kind("warning", "low values are bright (MONOCHROME1); values are kept as they are"),
    "pixel_padding": Kind("warning", "some voxels are padding outside the image; they keep the padding value"),
    "unused_bits_cleared": Kind("warning", "bits above the stored ones held other data and were cleared"),
    "rescale_varies": Kind("note", "slope and intercept differ between slices and were applied to each"),
    "no_rescale": Kind(
        "warning", "slope or intercept is absent and taken as 1 or 0: values may not be in the unit of the modality"
    ),
    "high_bit_contradicts": Kind(
        "error", "HighBit cannot go with the bits allocated and stored", warn="BitsStored from bit 0 on are taken"
    ),
    "invalid_rescale": Kind("error", "slope or intercept is not a usable number"),
    "modality_lut": Kind("error", "values need a modality lookup table", warn="stored values are kept"),
    "palette_colour": Kind("error", "pixels are indices into a colour palette", warn="the indices are kept"),
    "colour_unknown": Kind(
        "error", "the header does not say how three samples make a colour", warn="taken as red, green, blue"
    ),
    "mixed_pixel_representation": Kind("warning", "signed and unsigned pixels in one volume; each read as declared"),
    "surplus_pixel_data": Kind(
        "error", "there are more pixel data than the header declares", warn="the first are taken"
    ),
    "lossy_compression": Kind("note", "pixel data were compressed with loss"),
    "not_a_number": Kind("warning", "some voxels are not finite numbers"),
    # segmentations
    "no_referenced_series": Kind("error", "the segmentation's image series is not among the inputs"),
    "segmentation_off_grid": Kind("error", "the segmentation does not fit its image series' grid"),
    "empty_structure": Kind("warning", "a structure has no contour or no voxel"),
    "open_contour": Kind("warning", "a contour is not a closed planar one and was left out"),
    # NIfTI
    "no_orientation": Kind("warning", "the file has neither sform nor qform: its axes are of unknown direction"),
    "forms_disagree": Kind("warning", "sform and qform disagree; the sform was taken"),
    "voxel_size_disagrees": Kind("warning", "sform and voxel sizes (pixdim) disagree; the sform was taken"),
    "surplus_voxels": Kind("warning", "there are more bytes than the shape needs; the first were taken"),
    "converted_units": Kind("note", "lengths were not in millimetres and were converted"),
    # what was done
    "resampled": Kind("warning", "voxels were interpolated onto an even, upright grid"),
}
"""All kinds of findings by code."""


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        code: A key of ``KINDS``.
        message: What was found, with its numbers, in a sentence.
        files: Labels of the files it concerns.
        numbers: Its figures by name; lengths in millimetres, angles in degrees.
    """

    code: str
    message: str
    files: tuple[str, ...] = ()
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> str:
        """ "note", "warning" or "error"."""
        return KINDS[self.code].severity

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "files": list(self.files),
            "numbers": self.numbers,
        }


def found(code: str, detail: str = "", files: Iterable[str] = (), **numbers: Any) -> Finding:
    """A finding whose message is its kind's meaning and ``detail``.

    Raises:
        KeyError: There is no such kind.
    """
    means = KINDS[code].means
    return Finding(code, f"{means}: {detail}" if detail else means, tuple(files), numbers)


def refusals(findings: Iterable[Finding], policy: Policy) -> list[Finding]:
    """The findings for which a volume is refused under a policy."""
    errors = [f for f in findings if f.severity == "error"]
    if policy == "strict":
        return errors
    return [f for f in errors if not (KINDS[f.code].warn if policy == "warn" else KINDS[f.code].repair)]
