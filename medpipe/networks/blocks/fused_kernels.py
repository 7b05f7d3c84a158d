"""The loops over voxels behind ``fused_warp`` and ``fused_gradients``, compiled by numba.

All in one file: numba keeps compiled code until the file of a function changes, and does not look at others that it takes in.
Volumes are float32 (channels, X, Y, Z); positions in voxels. Loops run along rows, so that what they need stays in the
fastest memory. ``start`` and ``stop`` bound a slab along the first axis; a slab writes nothing outside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

_inlined: Callable[[Any], Any] = njit(nogil=True, inline="always", error_model="numpy")


def _compiled(function: Any) -> Any:
    options: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "nsz"}, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep compiled code in: two seconds more at each start
        return njit(**options)(function)


@_inlined
def _clamped(position: Any, last: Any) -> Any:
    """A position along an axis, the border repeated; what is no number counts as 0, so that no index can be wrong."""
    position = position if position > 0 else np.float32(0)
    return position if position < last else last


@_inlined
def _steps(shape: Any) -> Any:
    """From a voxel of a flat volume to its next along each axis; none along an axis of one voxel."""
    nx, ny, nz = shape
    return ny * nz if nx > 1 else 0, nz if ny > 1 else 0, 1 if nz > 1 else 0


@_inlined
def _places(shape: Any, i: int, j: int, ux: Any, uy: Any, uz: Any, lowest: Any, parts: Any) -> None:
    """Of a row of displaced voxels, the lowest of the eight neighbours in a flat volume, and the fractions between them."""
    nx, ny, nz = shape
    sx, sy, sz = _steps(shape)
    hx, hy, hz = np.float32(nx - 1), np.float32(ny - 1), np.float32(nz - 1)
    gx, gy = np.float32(i), np.float32(j)
    for k in range(len(ux)):
        px = _clamped(gx + ux[k], hx)
        py = _clamped(gy + uy[k], hy)
        pz = _clamped(np.float32(k) + uz[k], hz)
        # The last voxel is reached from the one before it, with the fraction 1.
        x, y, z = min(int(px), max(nx - 2, 0)), min(int(py), max(ny - 2, 0)), min(int(pz), max(nz - 2, 0))
        parts[0, k], parts[1, k], parts[2, k] = px - np.float32(x), py - np.float32(y), pz - np.float32(z)
        lowest[k] = x * sx + y * sy + z * sz


@_inlined
def _fetch(flat: Any, shape: Any, lowest: Any, parts: Any, out: Any) -> None:
    """Interpolate a row of one channel. Unsigned numbers spare the test for an index from the end."""
    sx, sy, sz = _steps(shape)
    ux, uy, uz = np.uint64(sx), np.uint64(sy), np.uint64(sz)
    for k in range(len(out)):
        a = np.uint64(lowest[k])
        b, c = a + uy, a + ux
        d = c + uy
        fx, fy, fz = parts[0, k], parts[1, k], parts[2, k]
        ex, ey, ez = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz  # exact where a fraction is 0 or 1
        one = ez * flat[a] + fz * flat[a + uz]
        two = ez * flat[b] + fz * flat[b + uz]
        three = ez * flat[c] + fz * flat[c + uz]
        four = ez * flat[d] + fz * flat[d + uz]
        out[k] = ex * (ey * one + fy * two) + fx * (ey * three + fy * four)


@_inlined
def _row(flat: Any, shape: Any, i: int, j: int, field: Any, lowest: Any, parts: Any, warped: Any) -> None:
    """Warp one row of all channels by the field's."""
    _places(shape, i, j, field[0, i, j], field[1, i, j], field[2, i, j], lowest, parts)
    for c in range(len(flat)):
        _fetch(flat[c], shape, lowest, parts, warped[c, i, j])


@_compiled
def halve(start: int, stop: int, volume: Any, small: Any) -> None:
    for c in range(small.shape[0]):
        for i in range(start, stop):
            for j in range(small.shape[2]):
                one, two = volume[c, 2 * i, 2 * j], volume[c, 2 * i, 2 * j + 1]
                three, four = volume[c, 2 * i + 1, 2 * j], volume[c, 2 * i + 1, 2 * j + 1]
                row = small[c, i, j]
                for k in range(len(row)):
                    near = one[2 * k] + one[2 * k + 1] + two[2 * k] + two[2 * k + 1]
                    far = three[2 * k] + three[2 * k + 1] + four[2 * k] + four[2 * k + 1]
                    row[k] = (near + far) * np.float32(0.125)


@_compiled
def warp(start: int, stop: int, moving: Any, field: Any, warped: Any) -> None:
    flat, shape = moving.reshape(moving.shape[0], -1), moving.shape[1:]
    lowest, parts = np.empty(field.shape[3], np.int64), np.empty((3, field.shape[3]), np.float32)
    for i in range(start, stop):
        for j in range(field.shape[2]):
            _row(flat, shape, i, j, field, lowest, parts, warped)


@_compiled
def compose(start: int, stop: int, first: Any, then: Any, moving: Any, field: Any, warped: Any) -> None:
    flat, shape = moving.reshape(moving.shape[0], -1), moving.shape[1:]
    one, size = first.reshape(3, -1), first.shape[1:]
    lowest, parts = np.empty(field.shape[3], np.int64), np.empty((3, field.shape[3]), np.float32)
    for i in range(start, stop):
        for j in range(field.shape[2]):
            _places(size, i, j, then[0, i, j], then[1, i, j], then[2, i, j], lowest, parts)
            for c in range(3):
                row, own = field[c, i, j], then[c, i, j]
                _fetch(one[c], size, lowest, parts, row)
                for k in range(len(row)):
                    row[k] += own[k]
            _row(flat, shape, i, j, field, lowest, parts, warped)


@_compiled
def place_affine(
    start: int, stop: int, weight: Any, shift: Any, then: Any, moving: Any, field: Any, warped: Any
) -> None:
    flat, shape = moving.reshape(moving.shape[0], -1), moving.shape[1:]
    lowest, parts = np.empty(field.shape[3], np.int64), np.empty((3, field.shape[3]), np.float32)
    half = np.float32(0.5)
    cx, cy, cz = half * (then.shape[1] - 1), half * (then.shape[2] - 1), half * (then.shape[3] - 1)
    for i in range(start, stop):
        for j in range(then.shape[2]):
            vx, vy, vz = then[0, i, j], then[1, i, j], then[2, i, j]
            gx, gy = np.float32(i - cx), np.float32(j - cy)
            for c in range(3):
                row, own = field[c, i, j], then[c, i, j]
                for k in range(len(row)):
                    rx, ry, rz = gx + vx[k], gy + vy[k], np.float32(k - cz) + vz[k]
                    row[k] = own[k] + weight[c, 0] * rx + weight[c, 1] * ry + weight[c, 2] * rz + shift[c]
            _row(flat, shape, i, j, field, lowest, parts, warped)


@_inlined
def _between(position: Any, size: int) -> Any:
    """The two neighbours of a position along an axis, and the fraction between them."""
    position = _clamped(position, np.float32(size - 1))
    low = int(position)
    return low, min(low + 1, size - 1), position - np.float32(low)


@_compiled
def resample(start: int, stop: int, steps: Any, coarse: Any, moving: Any, field: Any, warped: Any) -> None:
    flat, shape = moving.reshape(moving.shape[0], -1), moving.shape[1:]
    nx, ny, nz = coarse.shape[1:]
    length = field.shape[3]
    lowest, parts = np.empty(length, np.int64), np.empty((3, length), np.float32)
    half = np.float32(0.5)
    line = np.empty(nz, np.float32)
    low, high, share = np.empty(length, np.uint64), np.empty(length, np.uint64), np.empty(length, np.float32)
    for k in range(length):
        low[k], high[k], share[k] = _between((np.float32(k) + half) * steps[2] - half, nz)
    for i in range(start, stop):
        x, x1, fx = _between((np.float32(i) + half) * steps[0] - half, nx)
        for j in range(field.shape[2]):
            y, y1, fy = _between((np.float32(j) + half) * steps[1] - half, ny)
            for c in range(3):  # between four rows of the coarse field first, once for all voxels of this one
                a, b, d, e = coarse[c, x, y], coarse[c, x, y1], coarse[c, x1, y], coarse[c, x1, y1]
                for z in range(nz):
                    near = a[z] + fy * (b[z] - a[z])
                    line[z] = (near + fx * (d[z] + fy * (e[z] - d[z]) - near)) / steps[c]
                row = field[c, i, j]
                for k in range(length):
                    row[k] = line[low[k]] + share[k] * (line[high[k]] - line[low[k]])
            _row(flat, shape, i, j, field, lowest, parts, warped)


@_inlined
def _inside(position: Any, last: Any) -> Any:
    """1 where moving along an axis changes the place that is read; at the border and beyond it does not, as in torch."""
    return np.float32(1) if 0 < position < last else np.float32(0)


@_inlined
def _value_and_slopes(flat: Any, shape: Any, lowest: Any, fx: Any, fy: Any, fz: Any) -> Any:
    """One channel between eight voxels, and its derivatives along the three axes."""
    sx, sy, sz = _steps(shape)
    ux, uy, uz = np.uint64(sx), np.uint64(sy), np.uint64(sz)
    a = np.uint64(lowest)
    b, c = a + uy, a + ux
    d = c + uy
    ex, ey, ez = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
    rise1, rise2 = flat[a + uz] - flat[a], flat[b + uz] - flat[b]
    rise3, rise4 = flat[c + uz] - flat[c], flat[d + uz] - flat[d]
    one, two = ez * flat[a] + fz * flat[a + uz], ez * flat[b] + fz * flat[b + uz]
    three, four = ez * flat[c] + fz * flat[c + uz], ez * flat[d] + fz * flat[d + uz]
    near, far = ey * one + fy * two, ey * three + fy * four
    along_y = ex * (two - one) + fx * (four - three)
    along_z = ex * (ey * rise1 + fy * rise2) + fx * (ey * rise3 + fy * rise4)
    return ex * near + fx * far, far - near, along_y, along_z


@_compiled
def warp_and_slopes(start: int, stop: int, moving: Any, field: Any, warped: Any, slopes: Any) -> None:
    flat, shape = moving.reshape(-1), moving.shape
    nx, ny, nz = shape
    length = field.shape[3]
    lowest, parts = np.empty(length, np.int64), np.empty((3, length), np.float32)
    for i in range(start, stop):
        for j in range(field.shape[2]):
            fieldx, fieldy, fieldz = field[0, i, j], field[1, i, j], field[2, i, j]
            _places(shape, i, j, fieldx, fieldy, fieldz, lowest, parts)
            out, alongx, alongy, alongz = warped[i, j], slopes[0, i, j], slopes[1, i, j], slopes[2, i, j]
            for k in range(length):
                fx, fy, fz = parts[0, k], parts[1, k], parts[2, k]
                out[k], sx, sy, sz = _value_and_slopes(flat, shape, lowest[k], fx, fy, fz)
                insidex = _inside(np.float32(i) + fieldx[k], np.float32(nx - 1))
                insidey = _inside(np.float32(j) + fieldy[k], np.float32(ny - 1))
                insidez = _inside(np.float32(k) + fieldz[k], np.float32(nz - 1))
                alongx[k], alongy[k], alongz[k] = insidex * sx, insidey * sy, insidez * sz


@_compiled
def scatter(first: Any, then: Any, gradient: Any, to_first: Any, to_then: Any) -> None:
    """Add to ``to_first`` and ``to_then`` what a gradient of their composition says of each."""
    shape = first.shape[1:]
    nx, ny, nz = shape
    sx, sy, sz = _steps(shape)
    ux, uy, uz = np.uint64(sx), np.uint64(sy), np.uint64(sz)
    length = then.shape[3]
    lowest, parts = np.empty(length, np.int64), np.empty((3, length), np.float32)
    sources, targets = first.reshape(3, -1), to_first.reshape(3, -1)
    for i in range(then.shape[1]):
        for j in range(then.shape[2]):
            _places(shape, i, j, then[0, i, j], then[1, i, j], then[2, i, j], lowest, parts)
            for component in range(3):
                flat, target, row = sources[component], targets[component], gradient[component, i, j]
                for k in range(length):
                    a = np.uint64(lowest[k])
                    b, c = a + uy, a + ux
                    d = c + uy
                    fx, fy, fz = parts[0, k], parts[1, k], parts[2, k]
                    ex, ey, ez = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
                    _, slope_x, slope_y, slope_z = _value_and_slopes(flat, shape, lowest[k], fx, fy, fz)
                    g = row[k]
                    insidex = _inside(np.float32(i) + then[0, i, j, k], np.float32(nx - 1))
                    insidey = _inside(np.float32(j) + then[1, i, j, k], np.float32(ny - 1))
                    insidez = _inside(np.float32(k) + then[2, i, j, k], np.float32(nz - 1))
                    to_then[0, i, j, k] += insidex * g * slope_x
                    to_then[1, i, j, k] += insidey * g * slope_y
                    to_then[2, i, j, k] += insidez * g * slope_z
                    target[a] += g * ex * ey * ez
                    target[a + uz] += g * ex * ey * fz
                    target[b] += g * ex * fy * ez
                    target[b + uz] += g * ex * fy * fz
                    target[c] += g * fx * ey * ez
                    target[c + uz] += g * fx * ey * fz
                    target[d] += g * fx * fy * ez
                    target[d + uz] += g * fx * fy * fz


@_compiled
def squared_differences(field: Any, slope: Any) -> Any:
    """Sum of squared forward differences, and half its derivative."""
    total = 0.0
    nx, ny, nz = field.shape[1:]
    for c in range(3):
        for i in range(nx):
            for j in range(ny):
                here, out = field[c, i, j], slope[c, i, j]
                # A neighbour outside counts as the voxel itself: no difference.
                left, right = field[c, max(i - 1, 0), j], field[c, min(i + 1, nx - 1), j]
                front, back = field[c, i, max(j - 1, 0)], field[c, i, min(j + 1, ny - 1)]
                row: Any = np.float32(0)
                for k in range(nz):
                    v = here[k]
                    dx, dy = right[k] - v, back[k] - v
                    row += dx * dx + dy * dy
                    out[k] = (v - left[k]) - dx + (v - front[k]) - dy
                for k in range(nz - 1):
                    d = here[k + 1] - here[k]
                    row += d * d
                    out[k] -= d
                    out[k + 1] += d
                total += row
    return total


@_compiled
def folding_depths(field: Any, least: Any, slope: Any) -> Any:
    """Sum of what determinants of I + grad u lack to ``least``, and its derivative, which is added to ``slope``."""
    total = 0.0
    nx, ny, nz = field.shape[1:]
    one = np.float32(1)
    determinants = np.empty(nz - 1, np.float32)
    for i in range(nx - 1):
        for j in range(ny - 1):
            u, v, w = field[0, i, j], field[1, i, j], field[2, i, j]
            ux, vx, wx = field[0, i + 1, j], field[1, i + 1, j], field[2, i + 1, j]
            uy, vy, wy = field[0, i, j + 1], field[1, i, j + 1], field[2, i, j + 1]
            for k in range(nz - 1):
                a, b, c = ux[k] - u[k] + one, uy[k] - u[k], u[k + 1] - u[k]
                d, e, f = vx[k] - v[k], vy[k] - v[k] + one, v[k + 1] - v[k]
                g, h, m = wx[k] - w[k], wy[k] - w[k], w[k + 1] - w[k] + one
                determinants[k] = a * (e * m - f * h) - b * (d * m - f * g) + c * (d * h - e * g)
            for k in range(nz - 1):
                if determinants[k] >= least:
                    continue
                total += least - determinants[k]
                a, b, c = ux[k] - u[k] + one, uy[k] - u[k], u[k + 1] - u[k]
                d, e, f = vx[k] - v[k], vy[k] - v[k] + one, v[k + 1] - v[k]
                g, h, m = wx[k] - w[k], wy[k] - w[k], w[k + 1] - w[k] + one
                # Minors with their signs: the derivative along each axis, and all three for the voxel itself.
                _fall(slope, 0, i, j, k, e * m - f * h, f * g - d * m, d * h - e * g)
                _fall(slope, 1, i, j, k, c * h - b * m, a * m - c * g, b * g - a * h)
                _fall(slope, 2, i, j, k, b * f - c * e, c * d - a * f, a * e - b * d)
    return total


@_inlined
def _fall(slope: Any, component: int, i: int, j: int, k: int, x: Any, y: Any, z: Any) -> None:
    slope[component, i + 1, j, k] -= x
    slope[component, i, j + 1, k] -= y
    slope[component, i, j, k + 1] -= z
    slope[component, i, j, k] += x + y + z
