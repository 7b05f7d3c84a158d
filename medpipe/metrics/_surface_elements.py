"""Areas of the surface that a mask has between 2 x 2 x 2 neighbouring voxels.

The surface passes through the midpoints between inside and outside, as in marching cubes. Of the two sides the one with
fewer voxels is taken as inside (the complement has the same surface), and its voxels that touch only across an edge are kept
apart. Each closed line of midpoints is filled by the fan of triangles that has the largest area at unit spacing. The 256
areas then equal those of the surface-distance measures of S Nikolov et al. (arXiv:1809.04430) at every spacing.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
from numpy.typing import NDArray

from medpipe.metrics._arrays import FloatArray

__all__ = ["NEIGHBOUR_WEIGHTS", "surface_areas"]

_CORNERS = tuple(itertools.product((0, 1), repeat=3))

NEIGHBOUR_WEIGHTS = (1 << np.arange(8)).reshape(2, 2, 2)
"""What each of 2 x 2 x 2 voxels adds to the code of its neighbourhood."""

_Corner = tuple[int, ...]
_Edge = tuple[_Corner, _Corner]


def surface_areas(spacing: tuple[float, float, float]) -> FloatArray:
    """Area of the surface for each of the 256 codes, in the square of the unit of ``spacing``."""
    scale = np.asarray(spacing, dtype=np.float64)
    areas = np.zeros(256)
    for code, triangles in enumerate(_all_triangles()):
        if len(triangles):
            sides = triangles * scale
            cross = np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0])
            areas[code] = np.linalg.norm(cross, axis=1).sum() / 2
    return areas


@cache
def _all_triangles() -> tuple[NDArray[np.float64], ...]:
    """Corners of the triangles of every code, (n, 3, 3), at unit spacing."""
    return tuple(_triangles(min(code, 255 - code, key=int.bit_count)) for code in range(256))


def _triangles(code: int) -> NDArray[np.float64]:
    weights = dict(zip(_CORNERS, NEIGHBOUR_WEIGHTS.ravel().tolist(), strict=True))
    inside = {corner: bool(code & weight) for corner, weight in weights.items()}
    triangles = [part for loop in _loops(_segments(inside)) for part in _fan(loop)]
    return np.array(triangles, dtype=np.float64).reshape(-1, 3, 3)


def _segments(inside: dict[_Corner, bool]) -> list[tuple[_Edge, _Edge]]:
    """Lines of the surface on the six faces, each between two edges of the cube."""
    segments = []
    for axis, side in itertools.product(range(3), (0, 1)):
        around = [(0, 0), (0, 1), (1, 1), (1, 0)]
        face = [(*corner[:axis], side, *corner[axis:]) for corner in around]
        edges = [_edge(face[k], face[(k + 1) % 4]) for k in range(4)]
        cut = [edges[k] for k in range(4) if inside[face[k]] != inside[face[(k + 1) % 4]]]
        if len(cut) == 2:
            segments.append((cut[0], cut[1]))
        elif cut:
            segments += [(edges[k - 1], edges[k]) for k in range(4) if inside[face[k]]]
    return segments


def _edge(one: _Corner, other: _Corner) -> _Edge:
    return min(one, other), max(one, other)


def _loops(segments: list[tuple[_Edge, _Edge]]) -> list[list[_Edge]]:
    loops = []
    while segments:
        loop = list(segments.pop())
        while loop[0] != loop[-1]:
            following = next(pair for pair in segments if loop[-1] in pair)
            segments.remove(following)
            loop.append(following[1] if following[0] == loop[-1] else following[0])
        loops.append(loop[:-1])
    return loops


def _fan(loop: list[_Edge]) -> NDArray[np.float64]:
    points = np.array([np.mean(edge, axis=0) for edge in loop])
    fans = []
    for start in range(len(points)):
        turned = np.roll(points, -start, axis=0)
        fans.append(np.array([(turned[0], turned[k], turned[k + 1]) for k in range(1, len(points) - 1)]))
    areas = [np.linalg.norm(np.cross(fan[:, 1] - fan[:, 0], fan[:, 2] - fan[:, 0]), axis=1).sum() for fan in fans]
    return fans[int(np.argmax(np.round(areas, 9)))]
