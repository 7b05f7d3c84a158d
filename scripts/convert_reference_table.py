"""Conversions of public series beside their references: the table of the documentation.

    python scripts/convert_reference_table.py DATA

DATA is the folder of public images with dicom_nifti, dicom_misc, brain_mri and ct. Volumes are brought to the same axes
(closest canonical) before they are compared. "stored values equal" compares before scale factors; a reference scaled by
a vendor's private factor is compared that way.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from medpipe.io.segmentation_objects import read_segmentation
from medpipe.io.series import index_files
from medpipe.io.volume import Volume, VolumeRefusedError, read_volume

AFFINE_TOLERANCE = 1e-4
"""Millimetres: references hold their affine in 32 bits."""


@dataclass
class Row:
    """One comparison: what, against what, and whether it came out as it must."""

    data: str
    reference: str
    ok: bool
    result: str


def volumes(path: Path, policy: Any = "strict") -> list[Volume]:
    """All volumes under a path."""
    return [read_volume(stack, policy) for series in index_files(path).series for stack in series.stacks()]


def refusal(path: Path) -> str:
    """Codes for which policy "strict" refuses the first volume under a path; "" where it converts."""
    try:
        read_volume(index_files(path).series[0].stacks()[0])
    except VolumeRefusedError as error:
        return " ".join(sorted({finding.code for finding in error.findings}))
    return ""


def canonical(array: Any, affine: Any) -> tuple[Any, Any]:
    """Voxels and affine with axes closest to right, anterior, superior."""
    image = nib.as_closest_canonical(nib.Nifti1Image(array, affine))
    return np.asarray(image.dataobj), image.affine


def compare(name: str, volume: Volume, path: Path) -> Row:
    """A volume beside a reference file: voxels exactly, affine within ``AFFINE_TOLERANCE``."""
    image = nib.load(path)
    stored = np.asarray(image.dataobj.get_unscaled())
    array = volume.array
    if volume.colour:
        stored = np.stack([stored[channel] for channel in "RGB"], axis=-1)
    ours, affine = canonical(array.astype(np.float64), volume.affine)
    theirs, reference = canonical(stored.astype(np.float64), image.affine)
    away = float(np.abs(affine - reference).max())
    if ours.shape != theirs.shape:
        return Row(name, path.name, False, f"shape {ours.shape}, reference {theirs.shape}")
    if np.array_equal(ours, theirs):
        equal, how = True, "voxels equal"
    elif volume.slope not in (None, 0.0, 1.0):
        raw = np.rint((ours - (volume.intercept or 0.0)) / (volume.slope or 1.0))
        equal, how = bool(np.array_equal(raw, theirs)), "stored values equal"
        if not equal:
            equal, how = bool(np.allclose(ours, theirs, rtol=1e-6, atol=1e-6)), "rescaled values equal to 1e-6"
    else:
        equal, how = bool(np.allclose(ours, theirs, rtol=1e-6, atol=1e-6)), "rescaled values equal to 1e-6"
    if not equal:
        how = f"voxels differ by up to {np.abs(ours - theirs).max():g}"
    return Row(name, path.name, equal and away <= AFFINE_TOLERANCE, f"{how}, affine within {away:.0e} mm")


def dcm_qa(data: Path) -> Iterator[Row]:
    """Series with reference volumes of dcm2niix."""
    qa = data / "dicom_nifti"
    for n in range(1, 10):
        (volume,) = volumes(qa / f"dcm_qa_ts/In/{n}.dcm")
        yield compare(f"dcm_qa_ts/{n}.dcm", volume, qa / f"dcm_qa_ts/Ref/{n}.nii")
    for name, number in (("12bitUnsigned", 2), ("12bitUnsigned_0x0F0F", 3), ("12bitSigned_0x0F0F", 4)):
        (volume,) = volumes(qa / f"dcm_qa_12bit/In/{name}.dcm")
        yield compare(f"dcm_qa_12bit/{name}.dcm", volume, qa / f"dcm_qa_12bit/Ref/{number}.nii")
    pairs = {
        "dcm_qa_mosaic": ["2_ep2d_Asc"],
        "dcm_qa_nih": ["DCM2NIIX_regression_test_4", "EPI_PE=AP_3", "EPI_PE=LR_6"],
        "dcm_qa_enh": [
            "Philips_WIP_B0_NS_801_e1",
            "Philips_WIP_B0_NS_801_e2_fieldmaphz",
            "Siemens_REST1_w_SMS_PF7-8_6",
        ],
    }
    for folder, names in pairs.items():
        for volume, name in zip(volumes(qa / folder / "In"), names, strict=True):
            yield compare(folder, volume, qa / folder / "Ref" / f"{name}.nii")
    codes = refusal(qa / "dcm_qa_ct/In")
    yield Row(
        "dcm_qa_ct", "tilt 18.5 degrees, uneven slices", codes == "gantry_tilt uneven_spacing", f"refused: {codes}"
    )
    (repaired,) = volumes(qa / "dcm_qa_ct/In", "repair")
    upright = repaired.affine[:3, :3] / np.linalg.norm(repaired.affine[:3, :3], axis=0)
    error = float(np.abs(upright.T @ upright - np.eye(3)).max())
    shape = " x ".join(map(str, repaired.array.shape))
    yield Row(
        "dcm_qa_ct, --policy repair", "upright, even grid", error < 1e-6, f"{shape}, axes perpendicular to {error:.0e}"
    )


def dicom2nifti(data: Path) -> Iterator[Row]:
    """Series with ground truths of dicom2nifti, and those that it refuses."""
    root = data / "dicom_nifti/dicom2nifti_tests/tests/data"
    for truth in sorted(root.rglob("*_ground_truth.nii.gz")):
        name = truth.name.removesuffix("_ground_truth.nii.gz")
        (volume,) = volumes(truth.parent / name)
        label = (truth.parent / name).relative_to(root).as_posix()
        for suffix in ("_ground_truth.nii.gz", "_ground_truth_reoriented.nii.gz"):
            yield compare(f"dicom2nifti {label}", volume, truth.parent / f"{name}{suffix}")
    for name, code in (("gantrytilting", "gantry_tilt"), ("sliceincrement", "missing_slices")):
        codes = refusal(root / "failing" / name)
        yield Row(f"dicom2nifti failing/{name}", "to be refused", code in codes, f"refused: {codes}")
    for name, code in (("sliceorientation", "mixed_orientation"), ("slicecount", "few_slices")):
        found = {finding.code for volume in volumes(root / "failing" / name) for finding in volume.findings}
        yield Row(f"dicom2nifti failing/{name}", "to be warned of", code in found, f"warned: {' '.join(sorted(found))}")


def nema(data: Path) -> Iterator[Row]:
    """NEMA's compressed images without loss beside the uncompressed ones."""
    import pydicom
    import zstandard

    root = data / "dicom_misc/nema_wg04/data/WG04"
    for packed in sorted((root / "REF").glob("*.zst")):
        name = packed.name.removesuffix("_UNC.zst")
        content = zstandard.ZstdDecompressor().stream_reader(packed.read_bytes()).read()
        dataset = pydicom.dcmread(io.BytesIO(content))
        slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
        truth = (dataset.pixel_array * slope + intercept).T
        for kind in ("RLE", "JPLL", "JLSL", "J2KR"):
            path = root / kind / f"{name}_{kind}"
            if path.is_file():
                (volume,) = volumes(path)
                equal = bool(np.allclose(volume.array[:, :, 0], truth, rtol=1e-6, atol=0))
                yield Row(f"nema_wg04 {name}_{kind}", packed.name, equal, "voxels equal" if equal else "voxels differ")


def others(data: Path) -> Iterator[Row]:
    """Series pairs with masks as images, a CT with its segmentation, and a SEG object with its source masks."""
    for folder in sorted((data / "brain_mri/tcia_pgbm_001/PGBM-001").iterdir()):
        parts = {p.name.split("-")[1][:4]: volumes(p)[0] for p in sorted(folder.iterdir())}
        image, mask = parts["T1po"], parts["Mask"]
        away = float(np.abs(image.affine - mask.affine).max())
        same = image.array.shape == mask.array.shape and away < 0.01
        yield Row(f"tcia_pgbm_001 {folder.name[:10]}", "mask series", same, f"same grid, affine within {away:.0e} mm")
    (ct,) = volumes(data / "ct/totalsegmentator/example_ct_dicom")
    segmentation = nib.load(data / "ct/totalsegmentator/example_seg_dicom.nii.gz")
    labels, affine = canonical(np.asarray(segmentation.dataobj), segmentation.affine)
    array, ours = canonical(ct.array, ct.affine)
    away = float(np.abs(affine - ours).max())
    liver = float(array[labels == 5].mean())
    same = labels.shape == array.shape and away < 0.01 and 20 < liver < 200
    yield Row("totalsegmentator CT", "its segmentation", same, f"same grid within {away:.0e} mm, liver {liver:.0f} HU")
    yield from dcmqi(data)


def dcmqi(data: Path) -> Iterator[Row]:
    """DICOM SEG objects beside the NRRD masks that they were made from."""
    import nrrd

    root = data / "dicom_misc/dcmqi_ct_liver_seg/data/segmentations"
    (stack,) = index_files(root / "ct-3slice").series[0].stacks()
    from medpipe.io.sources import Source

    liver = read_segmentation(Source(root / "liver.dcm"), stack)
    equal = bool(np.array_equal(liver.array, nrrd.read(str(root / "liver_seg.nrrd"))[0]))
    yield Row("dcmqi liver.dcm", "liver_seg.nrrd", equal, f"{liver.segments[0].voxels:,} voxels equal")
    overlaps = read_segmentation(Source(root / "partial_overlaps.dcm"), stack)
    for file, numbers in ((1, (1, 4, 5)), (2, (2,)), (3, (3,))):
        truth = nrrd.read(str(root / f"partial_overlaps-{file}.nrrd"))[0]
        equal = all(np.array_equal(overlaps.array[..., n - 1] > 0, truth == n) for n in numbers)
        yield Row("dcmqi partial_overlaps.dcm", f"partial_overlaps-{file}.nrrd", equal, f"segments {numbers} equal")


def rows(data: Path) -> Iterator[Row]:
    """All comparisons."""
    for part in (dcm_qa, dicom2nifti, nema, others):
        yield from part(data)


def main() -> int:
    table = list(rows(Path(sys.argv[1])))
    print("| data | reference | as it must be | result |\n|---|---|---|---|")
    for row in table:
        print(f"| {row.data} | {row.reference} | {'yes' if row.ok else '**no**'} | {row.result} |")
    print(f"\n{sum(row.ok for row in table)} of {len(table)} as they must be")
    return 0 if all(row.ok for row in table) else 1


if __name__ == "__main__":
    sys.exit(main())
