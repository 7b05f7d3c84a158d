from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from medpipe.errors import CaseFailedError, CaseSkippedError
from medpipe.io.radiograph import file_kind, read_radiograph, scale_to_unit


def unit(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return (values - values.min()) / (values.max() - values.min())


def test_an_image_without_window_spans_its_own_values(write_dicom, ramp) -> None:
    np.testing.assert_allclose(read_radiograph(str(write_dicom("a.dcm", ramp))).pixels, unit(ramp), atol=1e-6)


def test_monochrome1_is_the_negative_of_monochrome2(write_dicom, ramp) -> None:
    plain = read_radiograph(str(write_dicom("a.dcm", ramp)))
    inverse = read_radiograph(str(write_dicom("b.dcm", ramp, PhotometricInterpretation="MONOCHROME1")))
    np.testing.assert_allclose(inverse.pixels, 1 - plain.pixels, atol=1e-6)
    assert inverse.notes == ("MONOCHROME1: inverted for display",)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_lossless_transfer_syntaxes_give_the_same_pixels(write_dicom, ramp, syntax) -> None:
    compressed = read_radiograph(str(write_dicom("a.dcm", ramp, syntax=syntax)))
    np.testing.assert_array_equal(compressed.pixels, read_radiograph(str(write_dicom("b.dcm", ramp))).pixels)


def test_a_linear_window_follows_the_formula_of_the_standard(write_dicom, ramp) -> None:
    # PS3.3 C.11.2.1.2.1: black up to c - 0.5 - (w - 1)/2, white above c - 0.5 + (w - 1)/2
    shown = read_radiograph(str(write_dicom("a.dcm", ramp, WindowCenter=2000, WindowWidth=1001))).pixels
    expected = np.clip((ramp - (2000 - 0.5 - 500)) / 1000, 0, 1)
    np.testing.assert_allclose(shown, expected, atol=1e-6)


def test_the_window_applies_after_the_rescale(write_dicom, ramp) -> None:
    elements = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 1000, "WindowWidth": 2001}
    shown = read_radiograph(str(write_dicom("a.dcm", ramp, **elements))).pixels
    np.testing.assert_allclose(shown, np.clip((ramp * 2.0 - 1000 - (-0.5)) / 2000, 0, 1), atol=1e-6)


def test_a_window_outside_the_values_is_left_out_with_a_note(write_dicom, ramp) -> None:
    radiograph = read_radiograph(str(write_dicom("a.dcm", ramp, WindowCenter=60000, WindowWidth=10)))
    np.testing.assert_allclose(radiograph.pixels, unit(ramp), atol=1e-6)
    assert "window lies outside" in radiograph.notes[0]


def test_a_modality_lut_replaces_stored_values(write_dicom) -> None:
    pixels = np.array([[0, 1], [2, 3]], np.uint16).repeat(40, 0).repeat(40, 1)
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [4, 0, 16], "US"
    item.add_new("LUTData", "US", [10, 0, 40, 20])
    shown = read_radiograph(str(write_dicom("a.dcm", pixels, ModalityLUTSequence=Sequence([item])))).pixels
    np.testing.assert_allclose(shown[::40, ::40], [[0.25, 0.0], [1.0, 0.5]])


def test_bits_above_the_stored_ones_are_no_pixel_value(write_dicom, ramp) -> None:
    dirty = ramp | np.uint16(0xF000)
    path = write_dicom("a.dcm", dirty, BitsStored=12, HighBit=11)
    np.testing.assert_allclose(read_radiograph(str(path)).pixels, unit(ramp), atol=1e-6)


def test_values_stored_to_the_left_are_moved_down(write_dicom, ramp) -> None:
    path = write_dicom("a.dcm", ramp << 4 | 7, BitsStored=12, HighBit=15)
    np.testing.assert_allclose(read_radiograph(str(path)).pixels, unit(ramp), atol=1e-6)


def test_padding_is_black_and_does_not_stretch_the_range(write_dicom, ramp) -> None:
    padded = ramp.copy()
    padded[:20] = 65535
    for photometric in ("MONOCHROME2", "MONOCHROME1"):
        path = write_dicom("a.dcm", padded, PixelPaddingValue=65535, PhotometricInterpretation=photometric)
        pixels = read_radiograph(str(path)).pixels
        assert pixels[:20].max() == 0
        shown = unit(ramp[20:]) if photometric == "MONOCHROME2" else 1 - unit(ramp[20:])
        np.testing.assert_allclose(pixels[20:], shown, atol=1e-6)


def test_a_voi_lut_sees_negative_values_as_the_lowest(write_dicom, ramp) -> None:
    item = Dataset()
    item.LUTDescriptor = [1000, 0, 16]
    item.add_new("LUTData", "US", list(range(0, 60000, 60)))
    path = write_dicom("a.dcm", ramp, RescaleSlope=1, RescaleIntercept=-1024, VOILUTSequence=Sequence([item]))
    pixels = read_radiograph(str(path)).pixels
    assert pixels[ramp < 1024].max() == 0
    assert pixels[ramp > 2100].min() == 1
    order = np.argsort(ramp.ravel(), kind="stable")
    assert (np.diff(pixels.ravel()[order]) >= -1e-6).all()


@pytest.mark.parametrize("slope", ["nan", "inf"])
def test_grey_values_that_are_not_finite_fail(write_dicom, ramp, slope) -> None:
    import pydicom

    path = write_dicom("a.dcm", ramp, RescaleSlope=1, RescaleIntercept=0, WindowCenter=50, WindowWidth=100)
    dataset = pydicom.dcmread(path)
    dataset["RescaleSlope"]._value = slope
    with pydicom.config.disable_value_validation():
        dataset.save_as(path)
    with pytest.raises(CaseFailedError):
        read_radiograph(str(path))


def test_a_picture_is_turned_as_its_exif_orientation_says(tmp_path, ramp) -> None:
    picture = Image.fromarray((ramp >> 4).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side: turn by 90 degrees clockwise
    picture.save(tmp_path / "a.png", exif=exif)
    radiograph = read_radiograph(str(tmp_path / "a.png"))
    np.testing.assert_allclose(radiograph.pixels, np.rot90(ramp >> 4, -1) / 255, atol=1e-6)
    assert "EXIF" in radiograph.notes[0]


def test_signed_values_keep_their_order(write_dicom, ramp) -> None:
    signed = ramp.astype(np.int16) - 2048
    np.testing.assert_allclose(read_radiograph(str(write_dicom("a.dcm", signed))).pixels, unit(ramp), atol=1e-6)


def test_a_file_without_preamble_and_meta_header_is_read(write_dicom, ramp, tmp_path) -> None:
    import pydicom

    dataset = pydicom.dcmread(write_dicom("a.dcm", ramp))
    del dataset.file_meta, dataset.preamble
    bare = tmp_path / "bare"
    pydicom.dcmwrite(bare, dataset, implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert bare.read_bytes()[128:132] != b"DICM"
    np.testing.assert_allclose(read_radiograph(str(bare)).pixels, unit(ramp), atol=1e-6)


def test_spacing_prefers_the_calibrated_field(write_dicom, ramp) -> None:
    both = read_radiograph(str(write_dicom("a.dcm", ramp, PixelSpacing=[0.2, 0.3], ImagerPixelSpacing=[0.4, 0.5])))
    detector = read_radiograph(str(write_dicom("b.dcm", ramp, ImagerPixelSpacing=[0.4, 0.5])))
    assert (both.spacing_mm, both.spacing_source) == ((0.2, 0.3), "PixelSpacing")
    assert (detector.spacing_mm, detector.spacing_source) == ((0.4, 0.5), "ImagerPixelSpacing")
    assert read_radiograph(str(write_dicom("c.dcm", ramp))).spacing_mm is None


def test_frames_are_refused_together_and_read_one_by_one(write_dicom, ramp) -> None:
    path = write_dicom("cine.dcm", np.stack([ramp, ramp[::-1]]))
    with pytest.raises(CaseSkippedError, match="2 frames"):
        read_radiograph(str(path))
    np.testing.assert_allclose(read_radiograph(f"{path}#frame=1").pixels, unit(ramp[::-1]), atol=1e-6)
    with pytest.raises(CaseFailedError, match="no frame 2"):
        read_radiograph(f"{path}#frame=2")


def test_pixel_data_cut_short_names_both_lengths(write_dicom, ramp) -> None:
    path = write_dicom("a.dcm", ramp)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CaseFailedError, match=r"15,360 bytes, the file has 14,36"):
        read_radiograph(str(path))


@pytest.mark.parametrize(("rows", "columns"), [(65535, 65535), (9000, 9000)])
def test_absurd_sizes_are_refused_before_anything_is_allocated(write_dicom, ramp, rows, columns) -> None:
    path = write_dicom("bomb.dcm", ramp, Rows=rows, Columns=columns)
    with pytest.raises(CaseFailedError, match="declares 65535|cut short"):
        read_radiograph(str(path))


def test_an_rle_stream_cannot_declare_more_than_it_can_hold(write_dicom, ramp) -> None:
    path = write_dicom("bomb.dcm", ramp, syntax=RLELossless)
    import pydicom

    dataset = pydicom.dcmread(path)
    dataset.Rows = dataset.Columns = 9000
    dataset.save_as(path)
    with pytest.raises(CaseFailedError, match="cannot hold"):
        read_radiograph(str(path))


def test_unknown_transfer_syntaxes_say_how_to_convert(write_dicom, ramp) -> None:
    import pydicom

    path = write_dicom("a.dcm", ramp)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG2
    dataset.PixelData = pydicom.encaps.encapsulate([b"\0\0"])
    dataset.save_as(path, enforce_file_format=False, implicit_vr=False, little_endian=True)
    with pytest.raises(CaseFailedError, match="MPEG2.*convert it"):
        read_radiograph(str(path))


def test_an_image_of_one_value_has_nothing_to_read(write_dicom) -> None:
    with pytest.raises(CaseFailedError, match="same value"):
        read_radiograph(str(write_dicom("flat.dcm", np.full((80, 80), 7, np.uint16))))


def test_damaged_and_foreign_files_fail_with_a_reason(tmp_path) -> None:
    for name, content in (("empty.dcm", b""), ("noise.dcm", bytes(range(256)) * 9), ("notes.dcm", b"hello")):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises((CaseFailedError, CaseSkippedError)):
            read_radiograph(str(path))


def test_every_prefix_of_a_file_is_refused_or_read_but_never_raises_otherwise(write_dicom, ramp, tmp_path) -> None:
    whole = write_dicom("a.dcm", ramp, syntax=JPEGLSLossless).read_bytes()
    cut = tmp_path / "cut.dcm"
    for length in range(1, len(whole), 97):
        cut.write_bytes(whole[:length])
        with pytest.raises((CaseFailedError, CaseSkippedError)):
            read_radiograph(str(cut))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA"])
def test_pictures_of_every_mode_become_grey(tmp_path, ramp, mode) -> None:
    grey = (ramp >> 4).astype(np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(grey).convert(mode).save(path)
    np.testing.assert_allclose(read_radiograph(str(path)).pixels, grey / 255, atol=1.01 / 255)


def test_a_16_bit_png_spans_its_own_values(tmp_path, ramp) -> None:
    Image.fromarray(ramp).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_radiograph(str(tmp_path / "a.png")).pixels, unit(ramp), atol=1e-6)


def test_a_jpeg_is_read_close_to_its_source(tmp_path, ramp) -> None:
    grey = (ramp >> 4).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_radiograph(str(tmp_path / "a.jpg")).pixels - grey / 255).max() < 0.03


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_slice_written_by_simpleitk_comes_back_as_it_was(tmp_path, ramp, suffix) -> None:
    image = sitk.GetImageFromArray(ramp.astype(np.float32))
    image.SetSpacing((0.3, 0.2))
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    radiograph = read_radiograph(str(tmp_path / f"a{suffix}"))
    np.testing.assert_allclose(radiograph.pixels, unit(ramp), atol=1e-6)
    np.testing.assert_allclose(radiograph.spacing_mm, (0.2, 0.3), rtol=1e-6)


def test_a_nifti_volume_is_skipped(tmp_path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((70, 70, 3), np.float32), np.eye(4)), tmp_path / "v.nii.gz")
    with pytest.raises(CaseSkippedError, match="single slice"):
        read_radiograph(str(tmp_path / "v.nii.gz"))


def test_a_nifti_header_that_lies_about_its_size_is_refused(tmp_path, ramp) -> None:
    nib.save(nib.Nifti1Image(ramp.astype(np.float32), np.eye(4)), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[42:46] = np.array([30000, 30000], "<i2").tobytes()
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(CaseFailedError, match="declares|pixels"):
        read_radiograph(str(tmp_path / "a.nii"))


def test_a_gzip_bomb_stops_at_the_limit(tmp_path, monkeypatch) -> None:
    import gzip

    monkeypatch.setattr("medpipe.io.plain_images.MAX_PIXELS", 1000)
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(bytes(10_000_000)))
    with pytest.raises(CaseFailedError, match="unpacks to more than"):
        read_radiograph(str(tmp_path / "bomb.nii.gz"))


def test_formats_are_told_by_content_before_name() -> None:
    assert file_kind(b"\0" * 128 + b"DICM", "x.png") == "dicom"
    assert file_kind(b"\x89PNG\r\n\x1a\n" + b"\0" * 124, "x.dcm") == "png"
    assert file_kind(b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", "IM0001") == "dicom"
    assert file_kind(b"plain words, nothing else" * 6, "readme.txt") == ""


def test_scaling_refuses_what_has_no_contrast() -> None:
    with pytest.raises(CaseFailedError, match="not finite"):
        scale_to_unit(np.ones((2, 2)), 0, np.inf)


@pytest.mark.shared_data
def test_a_real_radiograph_declared_monochrome1_is_the_negative_of_itself(shared_data: Path) -> None:
    folder = shared_data / "cxr" / "dicom"
    (plain,) = folder.glob("1.2.276*.dcm")
    positive, negative = read_radiograph(str(plain)), read_radiograph(str(folder / "Fake_MONOHR1.dcm"))
    np.testing.assert_allclose(negative.pixels, 1 - positive.pixels, atol=1e-6)


@pytest.mark.shared_data
def test_the_real_monochrome1_chest_without_preamble_is_shown_positive(shared_data: Path) -> None:
    pixels = read_radiograph(str(shared_data / "dicom_misc/fo_dicom/Test Data/CR-MONO1-10-chest")).pixels
    # lungs are dark, the abdomen below the diaphragm (at the bottom) is bright
    rows, columns = pixels.shape
    lungs = [
        pixels[rows // 3 : rows // 2, part : part + columns // 10].mean() for part in (columns // 5, 7 * columns // 10)
    ]
    abdomen = pixels[-rows // 8 :, columns // 3 : 2 * columns // 3].mean()
    assert max(lungs) < 0.5 < 0.7 < abdomen


@pytest.mark.shared_data
@pytest.mark.parametrize("variant", ["J2KR", "JLSL", "JPLL"])
def test_lossless_variants_of_a_real_radiograph_agree(shared_data: Path, variant: str) -> None:
    folder = shared_data / "dicom_misc/nema_wg04/data/WG04"
    reference = read_radiograph(str(folder / "J2KR" / "RG3_J2KR")).pixels
    np.testing.assert_array_equal(read_radiograph(str(folder / variant / f"RG3_{variant}")).pixels, reference)
