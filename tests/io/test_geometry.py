from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from medpipe.io.geometry import Line, affine_ras, check_line, check_plane, normal_of, same_plane
from medpipe.io.regrid import regrid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def line(positions, orientation=AXIAL) -> Line:
    return Line.of(np.asarray(positions, dtype=float), orientation)


def codes(positions, orientation=AXIAL, spacing=(1.0, 1.0)) -> list[str]:
    labels = [str(k) for k in range(len(positions))]
    return [finding.code for finding in check_line(line(positions, orientation), spacing, labels)]


def along_z(*heights: float) -> list[tuple[float, float, float]]:
    return [(0.0, 0.0, z) for z in heights]


def test_slices_are_sorted_along_the_normal_whatever_their_order() -> None:
    found = line(along_z(4, 0, 2))
    assert found.order.tolist() == [1, 2, 0]
    assert found.distances.tolist() == [2, 2]
    assert found.step.tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        (along_z(0, 2, 4, 6), []),
        (along_z(0, 2.009, 4, 6), []),  # rounding
        (along_z(0, 2, 4, 8), ["missing_slices"]),
        (along_z(0, 2, 4, 10, 12), ["missing_slices"]),
        (along_z(0, 2, 4.9, 6, 8), ["uneven_spacing"]),
        (along_z(0, 2, 4, 7, 9), ["uneven_spacing"]),
        (along_z(*(k * 2 + 0.004 * k * k for k in range(12))), ["uneven_spacing"]),  # drift without a jump
        ([(0, k * 0.5, k * 2.0) for k in range(5)], ["gantry_tilt"]),
        ([(0.5 if k == 2 else 0, 0, k * 2.0) for k in range(5)], ["slices_not_aligned"]),
        ([(0, k * 0.5, k * 2.0 + (k > 2)) for k in range(6)], ["uneven_spacing", "slices_not_aligned", "gantry_tilt"]),
    ],
)
def test_what_keeps_a_stack_from_one_affine_is_named(positions, expected) -> None:
    assert codes(positions) == expected


def test_the_numbers_of_a_missing_slice_are_right() -> None:
    (finding,) = check_line(line(along_z(0, 2, 4, 10, 12)), (1, 1), list("abcde"))
    assert finding.numbers["missing"] == 2
    assert finding.numbers["after_slices"] == [2]
    assert finding.files == ("d",)
    assert (finding.numbers["usual_mm"], finding.numbers["largest_mm"]) == (2, 6)


def test_the_angle_of_a_tilt_is_right() -> None:
    tilt = np.tan(np.radians(18.5)) * 4.0
    (finding,) = check_line(line([(0, k * tilt, k * 4.0) for k in range(5)]), (1, 1), list("abcde"))
    assert finding.numbers["angle_degrees"] == pytest.approx(18.5, abs=1e-3)


@pytest.mark.parametrize(
    ("position", "orientation", "spacing", "code"),
    [
        ((0, 0, 0), AXIAL, (1, 1), ""),
        ((0, 0, 0), AXIAL, None, "no_pixel_spacing"),
        ((0, 0, 0), AXIAL, (1, 0), "invalid_pixel_spacing"),
        ((0, 0, 0), AXIAL, (1, np.nan), "invalid_pixel_spacing"),
        ((0, 0, 0), AXIAL, (1, 1, 1), "invalid_pixel_spacing"),
        (None, AXIAL, (1, 1), "no_position"),
        ((0, 0, 0), None, (1, 1), "no_position"),
        ((0, 0), AXIAL, (1, 1), "invalid_position"),
        ((0, 0, np.inf), AXIAL, (1, 1), "invalid_position"),
        ((0, 0, 0), (1, 0, 0, 1, 0, 0), (1, 1), "invalid_orientation"),
        ((0, 0, 0), (2, 0, 0, 0, 1, 0), (1, 1), "invalid_orientation"),
        ((0, 0, 0), (1, 0, 0, 0, 1), (1, 1), "invalid_orientation"),
        ((0, 0, 0), (np.nan, 0, 0, 0, 1, 0), (1, 1), "invalid_orientation"),
    ],
)
def test_the_geometry_of_one_image_is_judged(position, orientation, spacing, code) -> None:
    assert check_plane(position, orientation, spacing) == code


def test_orientations_are_one_within_rounding_and_no_more() -> None:
    turned = (np.cos(0.01), np.sin(0.01), 0, -np.sin(0.01), np.cos(0.01), 0)
    assert same_plane(AXIAL, (0.99999, 0.00005, 0, 0, 1, 0))
    assert not same_plane(AXIAL, turned)


def test_an_affine_agrees_with_simpleitk(phantom, tmp_path) -> None:
    import SimpleITK as sitk

    from medpipe.io.series import index_files
    from medpipe.io.volume import read_volume

    oblique = (0.99808053354361, 0.01024095353456, 0.06107676671215, 0.0, 0.98623243279598, -0.1653650159536)
    folder = phantom(orientation=oblique).save(tmp_path / "in")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    volume = read_volume(index_files(folder).series[0].stacks()[0])
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image).T)
    for index in ((0, 0, 0), (3, 5, 7), (33, 31, 0)):
        x, y, z = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(volume.affine @ [*index, 1], [-x, -y, z, 1], atol=1e-5)


directions = npst.arrays(float, (2, 3), elements=st.floats(-1, 1)).filter(
    lambda d: np.linalg.norm(np.cross(d[0], d[1])) > 0.1
)


@given(
    directions,
    st.floats(0.1, 5),
    st.floats(0.1, 5),
    st.floats(0.1, 9),
    npst.arrays(float, 3, elements=st.floats(-500, 500)),
)
def test_an_affine_keeps_spacing_angles_and_handedness(pair, down, across, step, origin) -> None:
    row = pair[0] / np.linalg.norm(pair[0])
    column = np.cross(np.cross(row, pair[1]), row)
    column = column / np.linalg.norm(column)
    orientation = (*row, *column)
    affine = affine_ras(orientation, (down, across), normal_of(orientation) * step, origin)
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), (across, down, step), rtol=1e-9)
    assert np.linalg.det(affine[:3, :3]) == pytest.approx(down * across * step, rel=1e-6)
    np.testing.assert_allclose(affine[:3, 3], origin * [-1, -1, 1])


def ramp_stack(heights, shift=0.0) -> tuple[np.ndarray, Line]:
    """Slices of the linear field x + 2 y + 3 z, at heights, each moved by ``shift`` millimetres a slice along y."""
    columns, rows = np.meshgrid(np.arange(12.0), np.arange(10.0), indexing="ij")
    positions = np.array([(0.0, k * shift, z) for k, z in enumerate(heights)])
    slices = [columns + 2 * (rows + y) + 3 * z for _, y, z in positions]
    return np.stack(slices, axis=2), line(positions)


@pytest.mark.parametrize(
    ("heights", "shift"),
    [((0, 2, 4.5, 6, 8), 0.0), ((0, 2, 6, 8), 0.0), ((0, 2, 4, 6, 8), 0.7), ((0, 2, 3.5, 6, 8), 0.4)],
)
def test_a_linear_field_survives_repair_exactly(heights, shift) -> None:
    """Linear interpolation is exact on a linear field: every voxel inside tells whether its place is right."""
    array, placed = ramp_stack(heights, shift)
    repaired, affine, note = regrid(array, placed, AXIAL, (1.0, 1.0))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in repaired.shape), indexing="ij"), axis=-1)
    places = index @ affine[:3, :3].T + affine[:3, 3]
    x, y, z = -places[..., 0], -places[..., 1], places[..., 2]
    covered = (y > max(0, shift * len(heights)) + 1) & (y < 8)
    np.testing.assert_allclose(repaired[covered], (x + 2 * y + 3 * z)[covered], atol=1e-4)
    assert covered.sum() > 100
    distances = np.diff(places[0, 0, :, 2])
    np.testing.assert_allclose(distances, distances[0])
    assert note.code == "resampled"


def test_a_gap_too_wide_to_fill_is_refused() -> None:
    from medpipe.errors import CaseFailedError

    array, placed = ramp_stack((0, 2, 4, 12, 14))
    with pytest.raises(CaseFailedError, match="8 mm between slices that are 2 mm apart"):
        regrid(array, placed, AXIAL, (1.0, 1.0))
