"""Pictures of a few pairs for the report: the worst, the median and the best, in three planes.

    fixed, before, after    the fixed image; the moving image as it lay, and through the field
    checkerboard            fixed and warped image in turn
    outlines                structures of the fixed (blue) and the warped image (orange) on the fixed image
    jacobian                local change of volume: blue grows, orange shrinks, black is folded
    grid                    where lines of the moving image's grid come to lie

Planes are those of the array nearest to axial, coronal and sagittal, seen as a radiologist does: the patient's right at the
left, anterior and superior at the top; in the sagittal plane anterior at the left.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.evaluation.formats.registration_pairs import RegistrationPair
from medpipe.evaluation.registration_measures import MEASURES, Protocol
from medpipe.evaluation.registration_pair import LoadedPair, load_pair
from medpipe.metrics.jacobian import jacobian_determinant
from medpipe.metrics.resampling import sampling_positions

__all__ = ["draw_pictures", "shown_pairs"]

_SIDE = 300
_PLANES = {"axial": (2, 0, 1), "coronal": (1, 0, 2), "sagittal": (0, 1, 2)}
"""World axes (right, anterior, superior) across the plane, along its rows' direction and upwards."""

_TILES = 8
_LINES = 16
_BLUE, _ORANGE = np.array([0.0, 114.0, 178.0]), np.array([213.0, 94.0, 0.0])

Picture = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class _View:
    """A plane of an array, and how it is turned for display."""

    plane: str
    axis: int
    place: int
    rows: int
    columns: int
    flips: tuple[bool, bool]
    size: tuple[int, int]

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """The plane of an array (..., X, Y, Z), as (..., rows, columns) of the picture."""
        axes = array.ndim - 3
        part = np.take(array, self.place, axis=axes + self.axis)
        if self.rows > self.columns:
            part = part.swapaxes(-1, -2)
        part = part[..., ::-1, :] if self.flips[0] else part
        return part[..., ::-1] if self.flips[1] else part


def shown_pairs(cases: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(role, pair) of the worst, the median and the best pair by the first measure that all pairs have."""
    ranking = ("dice", "tre", "tre_voxel", "hd95", "fold_pct")
    key = next((key for key in ranking if all(case["after"].get(key) is not None for case in cases)), None)
    if key is None:
        return [("first", cases[0]["case"])]
    order = sorted(cases, key=lambda case: case["after"][key], reverse=MEASURES[key].better == "lower")
    places = {"worst": 0, "median": (len(order) - 1) // 2, "best": len(order) - 1}
    by_place: dict[int, str] = {}
    for role, place in places.items():
        by_place[place] = f"{by_place[place]} and {role}" if place in by_place else role
    if len(order) == 1:
        return [("only", order[0]["case"])]
    return [(f"{role} by {MEASURES[key].name}", order[place]["case"]) for place, role in sorted(by_place.items())]


def draw_pictures(
    pairs: Sequence[RegistrationPair], results: dict[str, Any], protocol: Protocol
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Pictures of the pairs that ``shown_pairs`` names.

    Returns:
        The entry "pictures" of results.json, and the files (JPEG) by their path beside it.
    """
    by_name = {pair.name: pair for pair in pairs}
    entries: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    for number, (role, name) in enumerate(shown_pairs(results["cases"]), start=1):
        planes = []
        for view, drawn in _pictures(load_pair(by_name[name], protocol)):
            names = {kind: f"pictures/{number}_{view.plane}_{kind}.jpg" for kind in drawn}
            files |= {names[kind]: _encoded(picture, view) for kind, picture in drawn.items()}
            planes.append({"plane": view.plane, "slice": view.place, "files": names})
        entries.append({"case": name, "role": role, "planes": planes})
    return entries, files


def _pictures(loaded: LoadedPair) -> list[tuple[_View, dict[str, Picture]]]:
    fixed_window, moving_window = _window(loaded.fixed.array), _window(loaded.moving.array)
    determinant = np.pad(jacobian_determinant(loaded.displacement), [(0, 1)] * 3, mode="edge")
    determinant *= np.linalg.det(loaded.moving.affine[:3, :3]) / np.linalg.det(loaded.fixed.affine[:3, :3])
    found = []
    for view in _views(loaded):
        fixed = _grey(view.of(loaded.fixed.array), fixed_window, view)
        places = [view.of(sampling_positions(field)) for field in (loaded.identity, loaded.displacement)]
        before, after = (_grey(_sampled(loaded.moving.array, place), moving_window, view) for place in places)
        drawn = {"fixed": fixed, "before": before, "after": after, "checkerboard": _checkerboard(fixed, after)}
        if loaded.labels is not None:
            warped = _sampled(loaded.labels[1], places[1], order=0)
            drawn["outlines"] = _outlines(fixed, view.of(loaded.labels[0]), warped, view)
        drawn["jacobian"] = _jacobian(view.of(determinant), view)
        drawn["grid"] = _grid(places[1], view, loaded)
        found.append((view, drawn))
    return found


def _views(loaded: LoadedPair) -> list[_View]:
    from nibabel.orientations import io_orientation

    shape, spacing = loaded.fixed.array.shape, loaded.fixed.spacing
    turned = io_orientation(loaded.fixed.affine)
    axis_of = {int(world): axis for axis, (world, _) in enumerate(turned)}
    mask = loaded.labels[0] > 0 if loaded.labels is not None else None
    views = []
    for plane, worlds in _PLANES.items():
        axis, columns, rows = (axis_of[world] for world in worlds)
        place = shape[axis] // 2
        if mask is not None:
            place = int(np.argmax(mask.sum(axis=tuple({0, 1, 2} - {axis}))))
        width, height = (shape[k] * spacing[k] for k in (columns, rows))
        scale = _SIDE / max(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        flips = bool(turned[rows][1] > 0), bool(turned[columns][1] > 0)
        views.append(_View(plane, axis, place, rows, columns, flips, size))
    return views


def _window(array: NDArray[Any]) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(array, (1, 99)))
    return (low, high) if high > low else (float(array.min()), max(float(array.max()), float(array.min()) + 1.0))


def _sampled(array: NDArray[Any], places: NDArray[np.float32], order: int = 1) -> NDArray[Any]:
    from scipy.ndimage import map_coordinates

    kind = np.float32 if order else array.dtype
    mode = "nearest" if order else "grid-constant"
    return np.asarray(map_coordinates(array.astype(kind), places, order=order, mode=mode))


def _grey(plane: NDArray[Any], window: tuple[float, float], view: _View) -> Picture:
    low, high = window
    values = ((plane.astype(np.float32) - low) / (high - low)).clip(0, 1) * 255
    return np.repeat(_resized(values, view)[..., None], 3, axis=2)


def _resized(values: NDArray[Any], view: _View, *, smooth: bool = True) -> Picture:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    how = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return np.asarray(picture.resize(view.size, how), dtype=np.float32)


def _checkerboard(one: Picture, two: Picture) -> Picture:
    tile = max(1, max(one.shape[:2]) // _TILES)
    rows, columns = np.ogrid[: one.shape[0], : one.shape[1]]
    return np.where(((rows // tile + columns // tile) % 2 == 0)[..., None], one, two)


def _outlines(fixed: Picture, labels: NDArray[Any], warped: NDArray[Any], view: _View) -> Picture:
    picture = fixed.copy()
    for part, colour in ((labels, np.array([64.0, 180.0, 255.0])), (warped, np.array([255.0, 140.0, 30.0]))):
        sharp = _resized(part, view, smooth=False)
        edge = np.zeros(sharp.shape, dtype=np.bool_)
        across, down = sharp[:, 1:] != sharp[:, :-1], sharp[1:] != sharp[:-1]
        for part_of, change in ((edge[:, 1:], across), (edge[:, :-1], across), (edge[1:], down), (edge[:-1], down)):
            part_of |= change
        picture[edge] = colour
    return picture


def _jacobian(determinant: NDArray[Any], view: _View) -> Picture:
    """White where volume is kept; full colour where it is doubled or halved."""
    values = _resized(determinant, view, smooth=False)
    strength = np.log2(values.clip(1e-3, None)).clip(-1, 1)[..., None]
    colour = np.where(strength > 0, _BLUE, _ORANGE)
    picture = 255 + np.abs(strength) * (colour - 255)
    picture[values <= 0] = 0
    return picture


def _grid(places: NDArray[np.float32], view: _View, loaded: LoadedPair) -> Picture:
    """Lines of the moving grid that run within the plane, dark on white."""
    extent = [loaded.moving.array.shape[axis] for axis in (view.rows, view.columns)]
    picture = np.full((view.size[1], view.size[0]), 255.0)
    for axis, size in zip((view.rows, view.columns), extent, strict=True):
        at = _resized(places[axis], view)
        step = max(2.0, size / _LINES)
        distance = np.abs(at - np.round(at / step) * step)
        slope = np.hypot(*np.gradient(at)) + 1e-6  # a line is as thick everywhere, however far it is stretched
        picture = np.minimum(picture, 255 * (distance / slope - 0.3).clip(0, 1))
    return np.repeat(picture[..., None], 3, axis=2)


def _encoded(picture: Picture, view: _View) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture.clip(0, 255).round().astype(np.uint8)).save(stream, "JPEG", quality=82)
    return stream.getvalue()
