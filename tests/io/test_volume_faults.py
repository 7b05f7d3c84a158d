"""Faulty series: each fault has its name among the findings, and no voxel ever stands at another place or value.

The oracle knows the phantom's voxels and affine. Whatever a conversion writes, under policy "strict", is compared with
it voxel by voxel through the written affine: a value at a place where the phantom has another one is a silent change.
"""

from __future__ import annotations

import csv
import json
import zlib
from copy import deepcopy
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from medpipe.io.convert import convert
from medpipe.io.findings import KINDS

FAULTS = {}

FILE_CODES = {"unreadable_file", "impossible_size", "unknown_transfer_syntax", "pixels_cut_short", "header_cut_short"}
"""Errors of single files; what they mean for the series is a finding of its own."""


def fault(code: str, *, modalities: tuple[str, ...] = ("CT", "MR"), partly: bool = False):
    """Register a function that spoils a phantom, with the finding that must name what it did.

    ``partly`` says that other images of the series may still be converted where the finding is an error.
    """

    def register(function):
        FAULTS[function.__name__] = (function, code, modalities, partly or code in FILE_CODES)
        return function

    return register


def move(p, index: int, by) -> None:
    place = np.array(p.datasets[index].ImagePositionPatient, dtype=float) + by
    p.set([index], ImagePositionPatient=[f"{v:.10g}" for v in place])


def copied(dataset: Dataset, **elements) -> Dataset:
    copy = deepcopy(dataset)
    for name, value in elements.items():
        setattr(copy, name, value)
    return copy


# which images are there


@fault("missing_slices")
def one_slice_missing(p, to_file):
    p.drop(3)


@fault("missing_slices")
def two_slices_missing(p, to_file):
    p.drop(2, 5)


@fault("missing_slices")
def three_slices_missing_in_a_row(p, to_file):
    p.drop(2, 3, 4)


@fault("instance_number_gap")
def every_second_slice_missing(p, to_file):
    p.drop(1, 3, 5, 7)


@fault("fewer_images_than_declared")
def last_slices_missing(p, to_file):
    p.set(ImagesInAcquisition=len(p.datasets))
    p.drop(6, 7)


@fault("slice_spacing_assumed")
def one_slice_alone(p, to_file):
    p.drop(*range(1, 8))


@fault("few_slices")
def two_slices_alone(p, to_file):
    p.drop(*range(2, 8))


@fault("duplicate_file")
def the_same_file_twice(p, to_file):
    p.extra["again.dcm"] = p.datasets[2]


@fault("conflicting_duplicates")
def one_uid_for_two_images(p, to_file):
    p.extra["other.dcm"] = copied(p.datasets[2], PixelData=p.datasets[3].PixelData)


@fault("conflicting_duplicates")
def one_uid_at_two_places(p, to_file):
    p.extra["other.dcm"] = copied(p.datasets[2], ImagePositionPatient=["0", "0", "900"])


@fault("repeated_position")
def two_instances_at_one_position(p, to_file):
    p.extra["second.dcm"] = copied(
        p.datasets[2], SOPInstanceUID="1.2.9", InstanceNumber=99, PixelData=p.datasets[5].PixelData
    )


@fault("localizer_in_series")
def a_localizer_in_the_series(p, to_file):
    sagittal = ["0", "1", "0", "0", "0", "-1"]
    p.extra["scout.dcm"] = copied(
        p.datasets[0],
        SOPInstanceUID="1.2.9",
        InstanceNumber=9,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        ImageOrientationPatient=sagittal,
        ImagePositionPatient=["500", "0", "0"],
    )


@fault("mixed_orientation")
def an_unnamed_sagittal_image(p, to_file):
    sagittal = ["0", "1", "0", "0", "0", "-1"]
    p.extra["sagittal.dcm"] = copied(
        p.datasets[0],
        SOPInstanceUID="1.2.9",
        InstanceNumber=9,
        ImageOrientationPatient=sagittal,
        ImagePositionPatient=["500", "0", "0"],
    )


@fault("mixed_matrix")
def another_matrix_in_one_slice(p, to_file):
    p.set([4], Rows=16, Columns=34, PixelData=bytes(16 * 34 * 2))
    p.voxels[4, :16] = p.voxels[3, 0, 0] - np.frombuffer(p.datasets[3].PixelData, np.int16)[0]


@fault("mixed_pixel_spacing")
def another_pixel_spacing_in_one_slice(p, to_file):
    p.set([4], PixelSpacing=["0.9", "0.9"])
    p.voxels[4] = np.inf


@fault("mixed_frame_of_reference")
def another_frame_of_reference_in_one_slice(p, to_file):
    p.set([7], FrameOfReferenceUID="1.2.3.9")


@fault("mixed_photometric")
def a_colour_slice(p, to_file):
    p.set(
        [7],
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        RescaleSlope=None,
        RescaleIntercept=None,
        PixelData=bytes(32 * 34 * 3),
    )


@fault("mixed_modality")
def one_image_of_another_modality(p, to_file):
    p.set([7], Modality="PT")


@fault("no_series_uid")
def no_series_uid(p, to_file):
    p.set(SeriesInstanceUID=None)


@fault("shared_series_uid")
def two_patients_of_one_series_uid(p, to_file):
    for k in (4, 5, 6, 7):
        p.set([k], PatientID="OTHER-88", PatientName="Other^One")


@fault("shared_series_uid")
def two_studies_of_one_series_uid(p, to_file):
    for k in (4, 5, 6, 7):
        p.set([k], StudyInstanceUID="1.2.3.4.5")


# where they lie


@fault("uneven_spacing")
def one_slice_off_its_place(p, to_file):
    move(p, 4, [0, 0, 0.9])


@fault("uneven_spacing")
def one_slice_slightly_off_its_place(p, to_file):
    move(p, 4, [0, 0, 0.05])


@fault("uneven_spacing")
def the_last_slice_off_its_place(p, to_file):
    move(p, 7, [0, 0, 0.7])


@fault("uneven_spacing")
def growing_distances(p, to_file):
    for k in range(8):
        move(p, k, [0, 0, 0.004 * k * k])


@fault("uneven_spacing")
def two_halves_of_different_spacing(p, to_file):
    for k in range(4, 8):
        move(p, k, [0, 0, 1.5 * (k - 3)])


@fault("slices_not_aligned")
def one_slice_moved_sideways(p, to_file):
    move(p, 4, [5, 0, 0])


@fault("slices_not_aligned")
def one_slice_moved_sideways_a_little(p, to_file):
    move(p, 4, [0, 0.05, 0])


@fault("gantry_tilt")
def gantry_tilted_by_15_degrees(p, to_file):
    for k in range(8):
        move(p, k, [0, 2 * k * np.tan(np.radians(15)), 0])


@fault("gantry_tilt")
def gantry_tilted_by_half_a_degree(p, to_file):
    for k in range(8):
        move(p, k, [0, 2 * k * np.tan(np.radians(0.5)), 0])


@fault("gantry_tilt")
def oblique_plane_along_the_table(p, to_file):
    p.set(ImageOrientationPatient=["1", "0", "0", "0", "0.9659258263", "-0.2588190451"])


@fault("tilt_only_in_header")
def tilt_in_the_header_alone(p, to_file):
    p.set(GantryDetectorTilt="15")


@fault("mixed_orientation")
def one_slice_turned_by_half_a_degree(p, to_file):
    c, s = np.cos(np.radians(0.5)), np.sin(np.radians(0.5))
    p.set([4], ImageOrientationPatient=[f"{v:.9g}" for v in (c, s, 0, -s, c, 0)])


@fault("mixed_orientation")
def one_slice_flipped(p, to_file):
    p.set([7], ImageOrientationPatient=["-1", "0", "0", "0", "1", "0"])
    p.voxels[7] = np.inf


@fault("no_pixel_spacing")
def no_pixel_spacing(p, to_file):
    p.set(PixelSpacing=None)


@fault("no_pixel_spacing", partly=True)
def no_pixel_spacing_in_one_slice(p, to_file):
    p.set([7], PixelSpacing=None)


@fault("mixed_pixel_spacing")
def no_pixel_spacing_in_the_last_slice(p, to_file):
    p.set([7], PixelSpacing=None)


@fault("spacing_at_detector")
def detector_spacing_alone(p, to_file):
    p.set(PixelSpacing=None, ImagerPixelSpacing=["0.7", "0.8"])


@fault("invalid_pixel_spacing")
def zero_pixel_spacing(p, to_file):
    p.set(PixelSpacing=["0", "0.8"])


@fault("invalid_pixel_spacing")
def negative_pixel_spacing(p, to_file):
    p.set(PixelSpacing=["0.7", "-0.8"])


@fault("invalid_pixel_spacing")
def one_pixel_spacing_for_two(p, to_file):
    p.set(PixelSpacing="0.7")


@fault("no_position")
def no_position(p, to_file):
    p.set(ImagePositionPatient=None)


@fault("no_position")
def no_orientation(p, to_file):
    p.set(ImageOrientationPatient=None)


@fault("no_position")
def no_position_in_one_slice(p, to_file):
    p.set([3], ImagePositionPatient=None)


@fault("unplaced_images")
def no_position_in_the_last_slice(p, to_file):
    p.set([7], ImagePositionPatient=None)


@fault("unplaced_images")
def no_orientation_in_the_last_slice(p, to_file):
    p.set([7], ImageOrientationPatient=None)


@fault("invalid_position")
def two_numbers_for_a_position(p, to_file):
    p.set(ImagePositionPatient=["1", "2"])


@fault("invalid_orientation")
def directions_that_are_not_perpendicular(p, to_file):
    p.set(ImageOrientationPatient=["1", "0", "0", "0.2", "0.98", "0"])


@fault("invalid_orientation")
def directions_of_no_length(p, to_file):
    p.set(ImageOrientationPatient=["0", "0", "0", "0", "1", "0"])


@fault("invalid_orientation")
def five_numbers_for_an_orientation(p, to_file):
    p.set(ImageOrientationPatient=["1", "0", "0", "0", "1"])


@fault("spacing_contradicts_header")
def another_spacing_in_the_header(p, to_file):
    p.set(SpacingBetweenSlices="3")


@fault("mosaic_unreadable", modalities=("MR",))
def a_mosaic_without_its_plan(p, to_file):
    p.set(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])


@fault("frames_without_position")
def frames_without_functional_groups(p, to_file):
    frames = b"".join(d.PixelData for d in p.datasets)
    first = copied(p.datasets[0], NumberOfFrames=8, PixelData=frames)
    p.datasets, p.names = [first], ["frames.dcm"]


# several times


def repeat(p, times: int, label: str = "") -> None:
    later = []
    for t in range(1, times):
        for k, dataset in enumerate(p.datasets):
            elements = {"SOPInstanceUID": f"1.2.7.{t}.{k}", "InstanceNumber": 8 * t + k + 1}
            if label:
                elements[label] = t + 1
            later.append(copied(dataset, **elements))
    if label:
        p.set(**{label: 1})
    p.names += [f"t{i}.dcm" for i in range(len(later))]
    p.datasets += later


@fault("incomplete_time_point")
def a_time_point_without_one_slice(p, to_file):
    repeat(p, 3, "TemporalPositionIdentifier")
    p.drop(-1)


@fault("time_by_instance_number")
def time_points_without_a_label(p, to_file):
    repeat(p, 3)


@fault("time_unordered")
def time_points_that_nothing_orders(p, to_file):
    repeat(p, 3)
    p.set(InstanceNumber=1)


@fault("slices_not_aligned")
def two_stacks_side_by_side(p, to_file):
    repeat(p, 2)
    for k in range(8, 16):
        move(p, k, [40, 0, 0])


@fault("several_kinds", modalities=("MR",))
def two_echoes_in_one_series(p, to_file):
    repeat(p, 2)
    p.set(range(8), EchoTime="10")
    p.set(range(8, 16), EchoTime="20")


# what the values are


@fault("monochrome1")
def monochrome1(p, to_file):
    p.set(PhotometricInterpretation="MONOCHROME1")


@fault("mixed_photometric")
def monochrome1_in_one_slice(p, to_file):
    p.set([7], PhotometricInterpretation="MONOCHROME1")


@fault("pixel_padding")
def padding_outside_the_image(p, to_file):
    for k, dataset in enumerate(p.datasets):
        values = np.frombuffer(dataset.PixelData, np.int16).reshape(32, 34).copy()
        values[:3] = -2000
        dataset.PixelData = values.tobytes()
        dataset.add_new("PixelPaddingValue", "SS", -2000)
        p.voxels[k, :3] = -2000 + (p.voxels[k, 5, 5] - values[5, 5])


@fault("no_rescale", modalities=("CT",))
def a_ct_without_rescale(p, to_file):
    p.set(RescaleSlope=None, RescaleIntercept=None)
    p.voxels += 1024


@fault("rescale_varies")
def another_rescale_in_one_slice(p, to_file):
    stored = np.frombuffer(p.datasets[4].PixelData, np.int16).reshape(32, 34)
    p.set([4], RescaleSlope="2", RescaleIntercept="5")
    p.voxels[4] = stored * 2.0 + 5


@fault("invalid_rescale")
def a_slope_of_zero(p, to_file):
    p.set(RescaleSlope="0", RescaleIntercept="0")


@fault("invalid_rescale")
def a_slope_that_is_no_number(p, to_file):
    for dataset in p.datasets:
        dataset.RescaleSlope = "1.0"
        dataset["RescaleSlope"]._value = "one"
        dataset["RescaleSlope"].VR = "LO"


@fault("modality_lut")
def a_modality_lookup_table(p, to_file):
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [2, 0, 16], "US"
    item.add_new("LUTData", "US", [10, 0])
    p.set(ModalityLUTSequence=Sequence([item]))


@fault("palette_colour")
def a_colour_palette(p, to_file):
    p.set(PhotometricInterpretation="PALETTE COLOR")


@fault("unused_bits_cleared")
def an_overlay_in_unused_bits(p, to_file):
    for dataset in p.datasets:
        values = np.frombuffer(dataset.PixelData, np.int16)
        dataset.PixelData = (values.astype(np.uint16) | 0x5000).tobytes()
    p.set(BitsStored=12, HighBit=11, PixelRepresentation=0)


@fault("mixed_pixel_representation")
def one_unsigned_slice(p, to_file):
    p.set([4], PixelRepresentation=0)


@fault("lossy_compression")
def compressed_with_loss_before(p, to_file):
    p.set(LossyImageCompression="01")


@fault("not_a_number")
def floats_that_are_no_numbers(p, to_file):
    for k, dataset in enumerate(p.datasets):
        values = p.voxels[k].astype("<f4")
        values[0, 0] = np.nan
        p.voxels[k, 0, 0] = np.nan
        dataset.BitsAllocated = dataset.BitsStored = 32
        del dataset.PixelData, dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.FloatPixelData = values.tobytes()


# single files


@fault("pixels_cut_short")
def pixel_data_cut_short(p, to_file):
    p.extra["cut.dcm"] = to_file(p.datasets.pop(3))[:-50]
    p.names.pop(3)


@fault("unreadable_slice")
def an_end_slice_cut_short(p, to_file):
    p.extra["cut.dcm"] = to_file(p.datasets.pop())[:-50]
    p.names.pop()


@fault("surplus_pixel_data")
def more_pixel_data_than_declared(p, to_file):
    p.set([4], PixelData=p.datasets[4].PixelData * 2)


@fault("header_cut_short")
def a_header_cut_short(p, to_file):
    content = to_file(p.datasets.pop(3))
    p.names.pop(3)
    p.extra["cut.dcm"] = content[: content.index(b"\xe0\x7f\x10\x00")]


@fault("unreadable_slice")
def an_end_slices_header_cut_short(p, to_file):
    content = to_file(p.datasets.pop())
    p.names.pop()
    p.extra["cut.dcm"] = content[: content.index(b"\xe0\x7f\x10\x00")]


@fault("unreadable_neighbour")
def an_empty_file(p, to_file):
    p.extra["empty.dcm"] = b""


@fault("unreadable_neighbour")
def noise_named_dicom(p, to_file):
    p.extra["noise.dcm"] = np.random.default_rng(0).bytes(4000)


@fault("foreign_file")
def a_text_in_the_folder(p, to_file):
    p.extra["readme.txt"] = b"hello" * 100


@fault("no_image")
def a_report_in_the_folder(p, to_file):
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.3.4"
    report.Modality, report.PatientID = "SR", "CANARY-77"
    p.extra["report.dcm"] = report


@fault("impossible_size")
def a_size_that_rle_cannot_hold(p, to_file):
    p.extra["bomb.dcm"] = _encapsulated(p, to_file, RLELossless, Rows=9000, Columns=9000)


@fault("impossible_size")
def the_largest_size_there_is(p, to_file):
    p.extra["bomb.dcm"] = _encapsulated(p, to_file, RLELossless, Rows=65535, Columns=65535)


@fault("impossible_size")
def no_rows(p, to_file):
    p.set([7], Rows=0)


@fault("impossible_size")
def twelve_bits_allocated(p, to_file):
    p.set([7], BitsAllocated=12, BitsStored=12, HighBit=11)


@fault("impossible_size")
def more_bits_stored_than_allocated(p, to_file):
    p.set([7], BitsStored=17)


@fault("pixels_cut_short")
def a_thousand_frames_of_one(p, to_file):
    p.set([7], NumberOfFrames=1000)


@fault("impossible_size")
def a_billion_frames(p, to_file):
    p.set([7], NumberOfFrames=1_000_000_000)


@fault("undecodable_pixels")
def a_jpeg_2000_stream_of_another_size(p, to_file):
    p.syntax = JPEG2000Lossless
    p.extra["other.dcm"] = _encapsulated(p, to_file, JPEG2000Lossless, Rows=34, Columns=32)


@fault("undecodable_pixels")
def a_damaged_jpeg_2000_stream(p, to_file):
    p.syntax = JPEG2000Lossless
    content = bytearray(to_file(p.datasets[3], JPEG2000Lossless))
    content[content.index(b"\xff\x4f\xff\x51") + 2] ^= 0x0F
    p.extra["damaged.dcm"] = bytes(content)
    p.drop(3)


@fault("undecodable_pixels")
def an_rle_stream_cut_short(p, to_file):
    p.syntax = RLELossless
    import io

    from pydicom import dcmread

    dataset = dcmread(io.BytesIO(to_file(p.datasets[3], RLELossless)))
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[:-60]])
    stream = io.BytesIO()
    dataset.save_as(stream)
    p.extra["cut.dcm"] = stream.getvalue()
    p.drop(3)


@fault("unknown_transfer_syntax")
def a_film_in_the_folder(p, to_file):
    p.extra["film.dcm"] = _with_syntax(to_file(p.datasets[7]), b"1.2.840.10008.1.2.4.100")
    p.drop(7)


@fault("unknown_transfer_syntax")
def a_private_transfer_syntax(p, to_file):
    p.extra["private.dcm"] = _with_syntax(to_file(p.datasets[7]), b"1.2.999.1.1")
    p.drop(7)


@fault("unreadable_file")
def a_deflated_bomb(p, to_file):
    content = to_file(p.datasets[7], DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    element = b"\x09\x00\x10\x00OB\0\0" + (600 << 20).to_bytes(4, "little")
    body = packer.compress(element) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(600)) + packer.flush()
    p.extra["bomb.dcm"] = content[:start] + body
    p.drop(7)


@fault("time_unordered")
def all_positions_wiped_out(p, to_file):
    p.set(ImagePositionPatient=[0, 0, 0])
    p.affine[:3, 3] = 1e6  # nothing can be compared with it


def _in_colour(p, **elements) -> None:
    for dataset in p.datasets:
        size = dataset.Rows * dataset.Columns
        dataset.PixelData = (dataset.PixelData * 2)[: 3 * size]
    p.set(SamplesPerPixel=3, BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0, **elements)


@fault("colour_unknown")
def colour_in_shades_of_grey(p, to_file):
    _in_colour(p, PlanarConfiguration=0)


@fault("colour_unknown")
def colour_without_an_order_of_samples(p, to_file):
    _in_colour(p, PhotometricInterpretation="RGB")


@fault("high_bit_contradicts")
def a_high_bit_below_the_bits_stored(p, to_file):
    p.set(HighBit=11)


@fault("no_rescale")
def an_intercept_without_a_slope(p, to_file):
    p.set(RescaleSlope=None)


@fault("no_rescale")
def one_slice_without_rescale(p, to_file):
    p.set([3], RescaleSlope=None, RescaleIntercept=None)
    p.voxels[3] += 1024


@fault("undecodable_pixels")
def more_compressed_images_than_frames(p, to_file):
    p.syntax = RLELossless
    import io

    from pydicom import dcmread

    dataset = dcmread(io.BytesIO(to_file(p.datasets[7], RLELossless)))
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([frame, frame], has_bot=False)
    p.drop(7)
    stream = io.BytesIO()
    dataset.save_as(stream)
    p.extra["two.dcm"] = stream.getvalue()


def _encapsulated(p, to_file, syntax, **elements) -> bytes:
    import io

    from pydicom import dcmread

    dataset = dcmread(io.BytesIO(to_file(p.datasets[7], syntax)))
    for name, value in elements.items():
        setattr(dataset, name, value)
    p.drop(7)
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def _with_syntax(content: bytes, uid: bytes) -> bytes:
    """A file whose meta header names another transfer syntax (its own group length set right)."""
    uid += b"\0" * (len(uid) % 2)
    old = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00"
    new = b"\x02\x00\x10\x00UI" + len(uid).to_bytes(2, "little") + uid
    length = int.from_bytes(content[140:144], "little") + len(new) - len(old)
    return content[:140] + length.to_bytes(4, "little") + content[144:].replace(old, new, 1)


def codes_of(out: Path) -> set[str]:
    """Every finding that a conversion put down anywhere."""
    codes = {row["code"] for row in csv.DictReader((out / "files.csv").open())}
    for row in csv.DictReader((out / "volumes.csv").open()):
        codes |= set(row["findings"].split())
    return codes - {""}


def assert_every_voxel_is_true(out: Path, truth: np.ndarray, affine: np.ndarray) -> None:
    """Each written voxel that lies at a place of the phantom's has its value; infinite truth is not compared."""
    inverse = np.linalg.inv(affine)
    for path in (out / "volumes").glob("*.nii.gz"):
        image = nib.load(path)
        if image.get_data_dtype().names:
            continue
        data = np.asarray(image.dataobj, dtype=float)
        index = np.stack(np.meshgrid(*(np.arange(n) for n in data.shape[:3]), indexing="ij"), axis=-1)
        places = nib.affines.apply_affine(inverse @ image.affine, index)
        whole = np.rint(places).astype(int)
        inside = ((whole >= 0) & (whole < np.array(truth.T.shape))).all(axis=-1) & (abs(places - whole).max(-1) < 0.01)
        expected = truth.T[tuple(whole[inside].T)]
        known = ~np.isinf(expected)
        for values in data.reshape(*data.shape[:3], -1).transpose(3, 0, 1, 2):
            np.testing.assert_allclose(values[inside][known], expected[known], rtol=1e-6)


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_no_voxel_changes_in_silence(phantom, to_file, tmp_path, name, modality) -> None:
    spoil, code, modalities, partly = FAULTS[name]
    if modality not in modalities:
        pytest.skip(f"no fault of {modality}")
    p = phantom(modality=modality)
    spoil(p, to_file)
    p.save(tmp_path / "in")
    result = convert([tmp_path / "in"], tmp_path / "out")
    assert code in codes_of(tmp_path / "out")
    assert sum(result.files.values()) == len(list((tmp_path / "in").iterdir()))
    assert_every_voxel_is_true(tmp_path / "out", p.voxels, p.affine)
    converted = {r.volume for r in result.volumes if r.status == "converted"}
    if KINDS[code].severity == "error" and not partly:
        assert not converted


def test_there_are_faults_of_at_least_60_kinds() -> None:
    assert len(FAULTS) >= 60


AXES = [(a, sa, b, sb) for a in range(3) for b in range(3) if a != b for sa in (1, -1) for sb in (1, -1)]


@pytest.mark.parametrize(("a", "sign_a", "b", "sign_b"), AXES)
def test_all_24_axis_orders_are_exact_and_without_findings(phantom, tmp_path, a, sign_a, b, sign_b) -> None:
    orientation = np.zeros(6)
    orientation[a], orientation[3 + b] = sign_a, sign_b
    assert_clean(phantom(orientation=orientation), tmp_path)


OBLIQUE = (0.99808053354361, 0.01024095353456, 0.06107676671215, 0.0, 0.98623243279598, -0.1653650159536)


@pytest.mark.parametrize(
    "options",
    [
        {"orientation": OBLIQUE},
        {"orientation": OBLIQUE, "modality": "MR", "intercept": None, "slope": None},
        {"dtype": "uint16"},
        {"dtype": "uint8", "intercept": 0.0},
        {"dtype": "int16", "intercept": 0.0},
        {"dtype": "int32"},
        {"dtype": "uint16", "slope": 2.0, "intercept": -3000.0},
        {"slope": 0.37, "intercept": 12.25},
        {"step": 0.625},
        {"step": 10.0, "spacing": (0.1, 3.0)},
        {"slices": 40},
        {"origin": (0, 0, 0)},
    ],
    ids=str,
)
def test_ordinary_series_are_exact_and_without_findings(phantom, tmp_path, options) -> None:
    assert_clean(phantom(**options), tmp_path)


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_transfer_syntaxes_are_exact_and_without_findings(phantom, tmp_path, syntax, dtype) -> None:
    p = phantom(dtype=dtype)
    p.syntax = syntax
    assert_clean(p, tmp_path)


def test_rounded_positions_are_no_fault(phantom, tmp_path) -> None:
    p = phantom(step=0.625, orientation=OBLIQUE, slices=30)
    for dataset in p.datasets:
        dataset.ImagePositionPatient = [f"{float(v):.2f}" for v in dataset.ImagePositionPatient]
    p.save(tmp_path / "in")
    convert([tmp_path / "in"], tmp_path / "out")
    assert codes_of(tmp_path / "out") == set()


def assert_clean(p, tmp_path: Path) -> None:
    p.save(tmp_path / "in")
    result = convert([tmp_path / "in"], tmp_path / "out")
    assert codes_of(tmp_path / "out") == set()
    (row,) = result.volumes
    sidecar = json.loads((tmp_path / "out" / "volumes" / f"{row.volume}.json").read_text())
    assert sidecar["findings"] == []
    image = nib.load(tmp_path / "out" / "volumes" / f"{row.volume}.nii.gz")
    np.testing.assert_allclose(image.affine, p.affine, atol=1e-4)
    np.testing.assert_allclose(np.asarray(image.dataobj), p.voxels.T, rtol=1e-6)


def projection(phantom, **elements):
    """A radiograph with pixel spacing and nothing else of geometry."""
    p = phantom(modality="DX", slices=1, slope=None, intercept=None)
    p.set(ImagePositionPatient=None, ImageOrientationPatient=None, FrameOfReferenceUID=None, SliceThickness=None)
    p.set(**elements)
    return p


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        ({}, "no_patient_geometry"),
        ({"PixelSpacing": None}, "no_pixel_spacing"),
        ({"PixelSpacing": None, "ImagerPixelSpacing": ["0.7", "0.8"]}, "spacing_at_detector"),
        ({"PixelSpacing": ["0", "0"]}, "invalid_pixel_spacing"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "monochrome1"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "palette_colour"),
        ({"NumberOfFrames": 2, "PixelData": bytes(2 * 2 * 32 * 34)}, "frames_without_position"),
        ({"LossyImageCompression": "01"}, "lossy_compression"),
        ({"Rows": 16}, "surplus_pixel_data"),
        ({"Rows": 64}, "pixels_cut_short"),
        ({"Columns": 0}, "impossible_size"),
        ({"BitsAllocated": 24}, "impossible_size"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
@pytest.mark.parametrize("modality", ["DX", "MG", "CR"])
def test_a_fault_of_a_projection_is_named(phantom, tmp_path, elements, code, modality) -> None:
    p = projection(phantom, Modality=modality, **elements)
    p.save(tmp_path / "in")
    result = convert([tmp_path / "in"], tmp_path / "out")
    assert code in codes_of(tmp_path / "out")
    converted = [row for row in result.volumes if row.status == "converted"]
    assert bool(converted) == (KINDS[code].severity != "error")
    for row in converted:
        image = nib.load(tmp_path / "out" / "volumes" / f"{row.volume}.nii.gz")
        np.testing.assert_array_equal(np.asarray(image.dataobj), p.voxels.T)
        np.testing.assert_allclose(image.affine, np.diag([-0.8, -0.7, 1, 1]), atol=1e-6)


def test_two_series_in_one_folder_are_two_volumes(phantom, tmp_path) -> None:
    first, second = phantom(), phantom(seed=1, step=3.0, uid="1.2.826.0.1.3680043.8.498.2")
    first.save(tmp_path / "in")
    second.names = [f"b{name}" for name in second.names]
    second.save(tmp_path / "in")
    convert([tmp_path / "in"], tmp_path / "out")
    for number, p in enumerate((first, second)):
        image = nib.load(tmp_path / "out" / "volumes" / f"P0001_study0{number + 1}_series001_CT.nii.gz")
        np.testing.assert_array_equal(np.asarray(image.dataobj), p.voxels.T)
        np.testing.assert_allclose(image.affine, p.affine, atol=1e-4)


def test_files_without_preamble_and_meta_header_are_read(phantom, tmp_path) -> None:
    from pydicom import dcmwrite

    p = phantom()
    (tmp_path / "in").mkdir()
    for name, dataset in zip(p.names, p.datasets, strict=True):
        dcmwrite(tmp_path / "in" / name, dataset, implicit_vr=True, little_endian=True, enforce_file_format=False)
    p.datasets = []
    result = convert([tmp_path / "in"], tmp_path / "out")
    assert [row.status for row in result.volumes] == ["converted"]
    assert_every_voxel_is_true(tmp_path / "out", p.voxels, p.affine)
