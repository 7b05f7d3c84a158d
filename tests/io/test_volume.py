from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, RLELossless

from medpipe.errors import CaseFailedError
from medpipe.io import volume as volumes
from medpipe.io.series import index_files
from medpipe.io.volume import VolumeRefusedError, read_volume


def stacks(folder: Path) -> list:
    return [stack for series in index_files(folder).series for stack in series.stacks()]


def read(folder: Path, policy="strict"):
    (stack,) = stacks(folder)
    return read_volume(stack, policy)


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({"dtype": "uint8", "slope": None, "intercept": None}, "uint8"),
        ({"dtype": "int16", "slope": None, "intercept": None}, "int16"),
        ({"dtype": "uint16", "slope": None, "intercept": None}, "int16"),  # the values that are there fit
        ({"dtype": "uint16", "slope": 20.0, "intercept": 0.0}, "uint16"),
        ({"dtype": "uint16", "slope": 20.0, "intercept": -10.0}, "int32"),
        ({"dtype": "int16", "slope": -1.0, "intercept": 100.0}, "int16"),
        ({"dtype": "uint8", "slope": 3.0, "intercept": -1024.0}, "int16"),
        ({"dtype": "int32", "slope": 1.0, "intercept": 0.0}, "int32"),
        ({"dtype": "int32", "slope": 1.0, "intercept": -5.0}, "int16"),
        ({"dtype": "int16", "slope": 0.5, "intercept": 0.0}, "float32"),
        ({"dtype": "int32", "slope": 0.5, "intercept": 0.0}, "float64"),
    ],
    ids=str,
)
def test_the_type_is_the_narrowest_that_is_exact(phantom, tmp_path, options, dtype) -> None:
    p = phantom(modality="MR", **options)
    volume = read(p.save(tmp_path))
    assert volume.array.dtype == dtype
    np.testing.assert_array_equal(volume.array, p.voxels.T.astype(dtype))


def test_the_ends_of_the_range_do_not_wrap(phantom, tmp_path) -> None:
    p = phantom(dtype="uint16", slope=1.0, intercept=-1024.0)
    for k, dataset in enumerate(p.datasets):
        stored = np.full((32, 34), [0, 65535][k % 2], np.uint16)
        dataset.PixelData = stored.tobytes()
        p.voxels[k] = stored - 1024.0
    volume = read(p.save(tmp_path))
    assert volume.array.dtype == np.int32
    np.testing.assert_array_equal(volume.array, p.voxels.T)


def test_the_array_is_nifti_s_memory_order_without_a_copy(phantom, tmp_path) -> None:
    assert read(phantom().save(tmp_path)).array.flags.f_contiguous


def test_four_dimensions_follow_their_label(phantom, tmp_path) -> None:
    folder = tmp_path / "in"
    truth = []
    for t in (2, 0, 1):
        p = phantom(seed=t, modality="MR")
        p.set(TemporalPositionIdentifier=t + 1)
        for k, dataset in enumerate(p.datasets):
            dataset.SOPInstanceUID, dataset.InstanceNumber = f"1.2.{t}.{k}", 100 - 8 * t - k
        p.names = [f"t{t}_{name}" for name in p.names]
        p.save(folder)
        truth.append((t, p.voxels.T))
    volume = read(folder)
    assert volume.array.shape == (34, 32, 8, 3)
    assert (volume.time_label, volume.times) == ("temporal position", [1, 2, 3])
    for t, voxels in truth:
        np.testing.assert_array_equal(volume.array[..., t], voxels)


def enhanced(p, *, shuffle: bool = True) -> Dataset:
    """The phantom as one enhanced multi-frame object, its frames out of order, with a rescale of each frame's own."""
    dataset = Dataset()
    for name in ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "Rows", "Columns"):
        setattr(dataset, name, p.datasets[0].get(name))
    for name in ("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"):
        setattr(dataset, name, p.datasets[0].get(name))
    dataset.PixelRepresentation = p.datasets[0].PixelRepresentation
    dataset.SOPClassUID, dataset.SOPInstanceUID = EnhancedMRImageStorage, "1.2.3.4"
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = p.datasets[0].ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = p.datasets[0].PixelSpacing, "2"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([orientation]), Sequence([measures])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    order = np.random.default_rng(1).permutation(len(p.datasets)) if shuffle else np.arange(len(p.datasets))
    frames = []
    for k in order:
        frame, position, transform = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = p.datasets[k].ImagePositionPatient
        transform.RescaleSlope, transform.RescaleIntercept = str(1 + int(k)), str(-int(k))
        frame.PlanePositionSequence = Sequence([position])
        frame.PixelValueTransformationSequence = Sequence([transform])
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    dataset.NumberOfFrames = len(order)
    dataset.PixelData = b"".join(p.datasets[k].PixelData for k in order)
    return dataset


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", RLELossless])
def test_an_enhanced_object_is_ordered_and_rescaled_frame_by_frame(phantom, to_file, tmp_path, syntax) -> None:
    p = phantom(modality="MR", slope=None, intercept=None)
    (tmp_path / "enhanced.dcm").write_bytes(to_file(enhanced(p), syntax))
    volume = read(tmp_path)
    slices = np.arange(8)[:, None, None]
    np.testing.assert_array_equal(volume.array, (p.voxels * (slices + 1) - slices).T)
    np.testing.assert_allclose(volume.affine, p.affine, atol=1e-6)
    assert [finding.code for finding in volume.findings] == ["rescale_varies"]


def test_frames_without_a_group_of_their_own_are_refused(phantom, to_file, tmp_path) -> None:
    dataset = enhanced(phantom(modality="MR"))
    del dataset.PerFrameFunctionalGroupsSequence[3:]
    (tmp_path / "enhanced.dcm").write_bytes(to_file(dataset))
    with pytest.raises(VolumeRefusedError, match="frames_without_position"):
        for stack in stacks(tmp_path):
            read_volume(stack)


def test_a_dose_grid_is_scaled_and_placed(phantom, to_file, tmp_path) -> None:
    p = phantom(modality="RTDOSE", dtype="uint16", slope=None, intercept=None)
    dose = p.datasets[0]
    dose.PixelData = b"".join(dataset.PixelData for dataset in p.datasets)
    dose.NumberOfFrames, dose.DoseGridScaling = 8, "0.25"
    dose.GridFrameOffsetVector = [str(2.0 * k) for k in range(8)]
    (tmp_path / "dose.dcm").write_bytes(to_file(dose))
    volume = read(tmp_path)
    np.testing.assert_array_equal(volume.array, p.voxels.T / 4)
    np.testing.assert_allclose(volume.affine, p.affine, atol=1e-6)


def test_policy_warn_converts_a_sheared_grid_exactly(phantom, tmp_path) -> None:
    p = phantom()
    for k, dataset in enumerate(p.datasets):
        dataset.ImagePositionPatient[1] = str(float(dataset.ImagePositionPatient[1]) + 0.5 * k)
    volume = read(p.save(tmp_path), "warn")
    np.testing.assert_array_equal(volume.array, p.voxels.T)
    sheared = p.affine.copy()
    sheared[1, 2] -= 0.5
    np.testing.assert_allclose(volume.affine, sheared, atol=1e-6)
    assert "gantry_tilt" in [finding.code for finding in volume.findings]


def test_policy_repair_refuses_what_it_cannot_repair(phantom, tmp_path) -> None:
    p = phantom()
    p.set(PixelSpacing=None)
    p.save(tmp_path)
    with pytest.raises(VolumeRefusedError, match="no_pixel_spacing"):
        read(tmp_path, "repair")
    assert [finding.code for finding in read(tmp_path, "warn").findings] == ["no_pixel_spacing"]


def test_policy_repair_leaves_a_sound_series_as_it_is(phantom, tmp_path) -> None:
    p = phantom()
    volume = read(p.save(tmp_path), "repair")
    assert (volume.findings, volume.resampled) == ([], False)
    np.testing.assert_array_equal(volume.array, p.voxels.T)


def test_policy_warn_keeps_complete_time_points(phantom, tmp_path) -> None:
    first, second = phantom(modality="MR"), phantom(modality="MR", seed=1)
    for t, p in enumerate((first, second)):
        p.set(TemporalPositionIdentifier=t + 1)
        p.names = [f"t{t}_{name}" for name in p.names]
        for k, dataset in enumerate(p.datasets):
            dataset.SOPInstanceUID, dataset.InstanceNumber = f"1.2.{t}.{k}", 8 * t + k + 1
    second.drop(2)
    first.save(tmp_path)
    second.save(tmp_path)
    volume = read(tmp_path, "warn")
    np.testing.assert_array_equal(volume.array, first.voxels.T)


def test_a_volume_beyond_the_bound_is_refused_before_it_is_allocated(phantom, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(volumes, "MAX_VOLUME_BYTES", 1000)
    with pytest.raises(CaseFailedError, match="larger than"):
        read(phantom().save(tmp_path))


@pytest.mark.parametrize("fraction", [0.999, 0.9, 0.5])
@pytest.mark.shared_data
@pytest.mark.parametrize("number", [4, 5, 7, 9])
def test_a_compressed_stream_cut_short_is_never_filled_up_in_silence(
    shared_data: Path, tmp_path, number, fraction
) -> None:
    import pydicom
    from pydicom.encaps import encapsulate, generate_frames

    dataset = pydicom.dcmread(shared_data / f"dicom_nifti/dcm_qa_ts/In/{number}.dcm")
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: int(len(frame) * fraction)]])
    dataset.save_as(tmp_path / "cut.dcm")
    with pytest.raises(CaseFailedError):
        read(tmp_path / "cut.dcm", "warn")


def test_values_far_from_zero_keep_their_steps(phantom, tmp_path) -> None:
    p = phantom(slope=0.001, intercept=1e6)
    volume = read(p.save(tmp_path / "in"))
    np.testing.assert_array_equal(volume.array, p.voxels.T)


def test_an_absurd_pixel_spacing_does_not_make_one_place_of_all_slices(phantom, tmp_path) -> None:
    p = phantom(spacing=(1e6, 1e6))
    volume = read(p.save(tmp_path / "in"))
    assert volume.array.shape == p.voxels.T.shape
    np.testing.assert_allclose(volume.affine, p.affine)
