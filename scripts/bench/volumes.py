"""Time to a checked volume, beside the readers that a user would take instead.

    python scripts/bench/volumes.py [--slices 300] [--runs 5]

A CT series of 512 x 512 slices is written to a temporary folder with its files in shuffled order, uncompressed and in
three compressed transfer syntaxes; a 256^3 volume to .nii.gz; and many headers to a tree. Every reader's voxels are
compared with the truth once. Readers are run in turns; the median is given, CPU seconds beside wall seconds.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

warnings.simplefilter("ignore")


def measure(readers: dict[str, Callable[[], Any]], runs: int) -> dict[str, tuple[float, float]]:
    """Median (CPU, wall) seconds of each reader, run in turns."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    for _ in range(runs):
        for name, read in readers.items():
            wall, cpu = time.perf_counter(), time.process_time()
            read()
            times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: (statistics.median(c for c, _ in t), statistics.median(w for _, w in t)) for name, t in times.items()}


def show(title: str, results: dict[str, tuple[float, float]], unit: int = 1) -> None:
    """Print a table; ratios are of CPU seconds to the first row's."""
    print(f"\n{title}")
    first = next(iter(results.values()))[0]
    for name, (cpu, wall) in results.items():
        print(f"  {name:34} {cpu * 1000 / unit:10.2f} ms CPU {wall * 1000 / unit:10.2f} ms wall  x {cpu / first:.1f}")


def write_series(folder: Path, slices: int, syntax: str) -> np.ndarray:
    """A CT of smooth shapes with noise, as (columns, rows, slices) Hounsfield units."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:512, :512]
    body = ((rows - 256) / 180.0) ** 2 + ((columns - 256) / 230.0) ** 2 < 1
    truth = np.empty((slices, 512, 512), np.int16)
    numbers = list(range(slices))
    random.Random(0).shuffle(numbers)
    folder.mkdir(parents=True)
    for k in range(slices):
        lung = ((rows - 240) / 90.0) ** 2 + ((abs(columns - 256) - 110) / 70.0) ** 2 < np.sin(
            np.pi * (k + 1) / (slices + 1)
        )
        values = np.where(body, np.where(lung, -850, 40), -1000) + rng.normal(0, 12, (512, 512))
        truth[k] = np.clip(values, -1024, 3071).astype(np.int16)
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, f"1.2.3.1.{k}"
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"1.2.3.1.{k}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = (
            "1.2.3.2",
            "1.2.3.3",
            "1.2.3.4",
        )
        dataset.PatientID, dataset.PatientName, dataset.Modality = "1", "Generated", "CT"
        dataset.SeriesNumber, dataset.InstanceNumber, dataset.ImageType = 1, k + 1, ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.Rows = dataset.Columns = 512
        dataset.PixelSpacing, dataset.SliceThickness = ["0.7", "0.7"], "1.25"
        dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        dataset.ImagePositionPatient = ["-180", "-180", f"{-100 + 1.25 * k}"]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
        dataset.PixelData = (truth[k] + 1024).astype("<u2").tobytes()
        if syntax != ExplicitVRLittleEndian:
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(folder / f"IM{numbers[k]:05d}.dcm")
    return truth.T


def by_medpipe(folder: Path) -> np.ndarray:
    """Index, geometry checks, decoding, rescale: everything that a conversion does before it writes."""
    from medpipe.io.series import index_files
    from medpipe.io.volume import read_volume

    (series,) = index_files(folder).series
    (stack,) = series.stacks()
    return read_volume(stack).array


def by_pixel_array(folder: Path) -> np.ndarray:
    """Decoded slices alone: no order, no geometry, no rescale."""
    import pydicom

    return np.stack([pydicom.dcmread(path).pixel_array for path in sorted(folder.iterdir())])


def by_simpleitk(folder: Path) -> np.ndarray:
    """ITK's series reader."""
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), reader.GetGDCMSeriesIDs(str(folder))[0]))
    return SimpleITK.GetArrayFromImage(reader.Execute()).T


def by_monai(folder: Path) -> np.ndarray:
    """MONAI's reader for folders without the itk package."""
    from monai.data import PydicomReader

    reader = PydicomReader(swap_ij=False)
    return np.asarray(reader.get_data(reader.read(str(folder)))[0])


def series_table(folder: Path, name: str, syntax: str, slices: int, runs: int) -> None:
    truth = write_series(folder / name, slices, syntax)
    np.testing.assert_array_equal(by_medpipe(folder / name), truth)
    np.testing.assert_array_equal(by_simpleitk(folder / name), truth)
    readers = {
        "medpipe (checked volume, HU)": lambda: by_medpipe(folder / name),
        "pydicom pixel_array (stored values)": lambda: by_pixel_array(folder / name),
        "SimpleITK series reader": lambda: by_simpleitk(folder / name),
    }
    if name == "uncompressed":
        readers["MONAI PydicomReader"] = lambda: by_monai(folder / name)
    show(f"{slices} x 512 x 512 CT, {name}", measure(readers, runs))


def nifti_table(folder: Path, runs: int) -> None:
    import nibabel as nib
    from monai.data import MetaTensor
    from monai.transforms import LoadImage, SaveImage
    from scipy.ndimage import gaussian_filter

    from medpipe.io.nifti import read_nifti, write_nifti

    noise = np.random.default_rng(0).normal(size=(256, 256, 256)).astype(np.float32)
    values = np.asfortranarray((gaussian_filter(noise, 1.5) * 3000).astype(np.int16))
    path, affine = folder / "a.nii.gz", np.diag([1.0, 1.0, 1.0, 1.0])
    write_nifti(path, values, affine)
    load = LoadImage(image_only=True, dtype=None)
    np.testing.assert_array_equal(read_nifti(path).array, values)
    np.testing.assert_array_equal(np.asarray(load(path)), values)
    readers = {
        "medpipe read_nifti": lambda: read_nifti(path),
        "nibabel": lambda: np.asarray(nib.load(path).dataobj),
        "MONAI LoadImage(dtype=None)": lambda: load(path),
        "MONAI LoadImage": lambda: LoadImage(image_only=True)(path),
    }
    show("read .nii.gz, 256^3 int16", measure(readers, runs))
    tensor = MetaTensor(np.ascontiguousarray(values), affine=affine)
    save = SaveImage(
        folder, output_ext=".nii.gz", resample=False, separate_folder=False, output_dtype=np.int16, print_log=False
    )
    writers = {
        "medpipe write_nifti": lambda: write_nifti(folder / "b.nii.gz", values, affine),
        "nibabel": lambda: nib.save(nib.Nifti1Image(values, affine), folder / "c.nii.gz"),
        "MONAI SaveImage": lambda: save(tensor[None]),
    }
    show("write .nii.gz, 256^3 int16", measure(writers, max(2, runs // 2)))
    for name in ("b.nii.gz", "c.nii.gz"):
        print(f"  {name}: {os.path.getsize(folder / name) / 1e6:.1f} MB")


def index_table(folder: Path, files: int) -> None:
    import pydicom

    from medpipe.io.header_store import HeaderStore
    from medpipe.io.inventory import take_inventory

    source = next((folder / "uncompressed").iterdir()).read_bytes()
    start = source.index(b"\xe0\x7f\x10\x00")
    tree = folder / "tree"
    for n in range(files):
        place = tree / f"series{n // 300:04d}"
        place.mkdir(parents=True, exist_ok=True)
        with (place / f"IM{n % 300:04d}.dcm").open("wb") as stream:
            header = _renumbered(source[:start], n)
            stream.write(header + source[start : start + 12])
            stream.truncate(len(header) + 12 + 512 * 512 * 2)  # the pixels are a hole that takes no disk
    store = folder / "headers"
    take_inventory(tree, store=HeaderStore(store))
    results = measure(
        {
            "medpipe inventory (grouped, checked)": lambda: take_inventory(tree),
            "the same with headers kept": lambda: take_inventory(tree, store=HeaderStore(store)),
            "pydicom headers alone": lambda: [
                pydicom.dcmread(p, stop_before_pixels=True).SeriesInstanceUID for p in tree.rglob("*.dcm")
            ],
        },
        1,
    )
    show(f"index of {files:,} headers, per file", results, files)


def _renumbered(header: bytes, number: int) -> bytes:
    """The header with an instance, a series and a position of its own."""
    import io

    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(header))
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = f"1.2.3.1.{number}", f"1.2.3.3.{number // 300}"
    dataset.InstanceNumber = number % 300 + 1
    dataset.ImagePositionPatient = ["-180", "-180", str(1.25 * (number % 300))]
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def main() -> None:
    from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--files", type=int, default=20000)
    parser.add_argument("--only", choices=["series", "compressed", "nifti", "index"], default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only in (None, "series", "index"):
            series_table(folder, "uncompressed", ExplicitVRLittleEndian, options.slices, options.runs)
        if options.only in (None, "compressed"):
            for title, syntax in (("RLE", RLELossless), ("JPEG-LS", JPEGLSLossless), ("JPEG 2000", JPEG2000Lossless)):
                series_table(folder, title, syntax, options.slices // 3, max(2, options.runs // 2))
        if options.only in (None, "nifti"):
            nifti_table(folder, options.runs)
        if options.only in (None, "index"):
            index_table(folder, options.files)


if __name__ == "__main__":
    main()
