"""The images of a series to stacks: which lie on one grid, in which order, at which time.

Images are put apart by what no array can mix (frame of reference, matrix, pixel spacing, orientation, kind of pixels),
sorted by position, and, where positions repeat, by echo and image type and then by time. Everything that is dropped, put
apart or assumed is a finding.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from medpipe.io.findings import Finding, found
from medpipe.io.geometry import check_plane, normal_of, same_plane
from medpipe.io.instances import Image
from medpipe.io.stack import Stack, pile, upright

__all__ = ["PROJECTIONS", "build_stacks"]

PROJECTIONS = frozenset(
    ("CR", "DX", "RG", "MG", "IO", "PX", "XA", "RF", "US", "ES", "XC", "GM", "SM", "OP", "OT", "NM", "SC", "DG")
)
"""Modalities whose images may have no place in the patient."""

ONE_PLACE = 0.01
"""Part of a pixel below which two positions are one ..."""

ONE_PLACE_MM = 0.05
"""... but never more millimetres: an absurd pixel spacing must not make one place of a whole stack."""

Grid = tuple[Any, ...]


def build_stacks(images: Sequence[Image]) -> list[Stack]:
    """Lay out the images of one series.

    Args:
        images: In any order.

    Returns:
        Stacks in order of their first image's instance number; every image is in exactly one of them, or in its
        ``left_out``.
    """
    apart: list[Finding] = []
    groups = _split_localizers(list(images), apart)
    for code, key in _KEYS:
        groups = _split(groups, key, code, apart)
    groups = _split_orientation(groups, apart)
    stacks = [stack for group in groups for stack in _stacks_of(group)]
    for stack in stacks:
        stack.findings[:0] = apart
    return sorted(stacks, key=lambda stack: min(_number(image) for image in stack.all_images))


def _number(image: Image) -> tuple[int, int, int, str]:
    instance = image.instance
    tile = image.tile or (0, 0)
    return (
        instance.number if instance.number is not None else 1 << 40,
        image.frame,
        tile[0] * 65536 + tile[1],
        instance.label,
    )


def _pixels(image: Image) -> Grid:
    form = image.instance.form
    mono = form.photometric.startswith("MONOCHROME") or (not form.photometric and form.samples == 1)
    return (form.samples, "MONOCHROME" if mono else form.photometric, form.keyword, form.photometric == "MONOCHROME1")


_KEYS: tuple[tuple[str, Callable[[Image], Grid]], ...] = (
    ("mixed_photometric", _pixels),
    ("mixed_frame_of_reference", lambda image: (image.instance.frame_of_reference,)),
    ("mixed_matrix", lambda image: (image.rows, image.columns)),
)


def _split(
    groups: list[list[Image]], key: Callable[[Image], Grid], code: str, apart: list[Finding]
) -> list[list[Image]]:
    parts: list[list[Image]] = []
    for group in groups:
        by_key: dict[Grid, list[Image]] = defaultdict(list)
        for image in group:
            by_key[key(image)].append(image)
        _note_split(code, list(by_key.values()), apart)
        parts.extend(by_key.values())
    return parts


def _note_split(code: str, parts: list[list[Image]], apart: list[Finding]) -> None:
    if len(parts) > 1:
        counts = [len(part) for part in parts]
        fewest = min(parts, key=len)
        files = sorted({image.instance.label for image in fewest})[:50]
        apart.append(found(code, f"{' + '.join(map(str, counts))} images", files, images=counts))


def _split_localizers(images: list[Image], apart: list[Finding]) -> list[list[Image]]:
    localizers = [image for image in images if "LOCALIZER" in image.instance.image_type]
    others = [image for image in images if "LOCALIZER" not in image.instance.image_type]
    if not localizers or not others:
        return [images]
    files = sorted({image.instance.label for image in localizers})[:50]
    apart.append(found("localizer_in_series", f"{len(localizers)} of {len(images)}", files, images=len(localizers)))
    return [others, localizers]


def _split_orientation(groups: list[list[Image]], apart: list[Finding]) -> list[list[Image]]:
    """By pixel spacing and orientation within tolerance; images with unusable geometry stand alone by what is wrong."""
    parts: list[list[Image]] = []
    for group in groups:
        bad: dict[str, list[Image]] = defaultdict(list)
        sound: list[Image] = []
        for image in group:
            wrong = check_plane(image.position, image.orientation, image.spacing)
            if wrong.endswith("pixel_spacing") and not check_plane(image.position, image.orientation, (1.0, 1.0)):
                image.spacing, image.fault, wrong = (1.0, 1.0), wrong, ""
            (bad[wrong] if wrong else sound).append(image)
        if sound and bad:
            _note_split("unplaced_images", [sound, [image for part in bad.values() for image in part]], apart)
        by_spacing = _cluster(sound, lambda a, b: _same_spacing(a.spacing or (), b.spacing or ()))
        _note_split("mixed_pixel_spacing", by_spacing, apart)
        _note_split("mixed_orientation", _cluster(sound, _same_orientation), apart)
        for part in by_spacing:
            parts.extend(_cluster(part, _same_orientation))
        parts.extend(bad.values())
    return parts


def _cluster(images: list[Image], same: Callable[[Image, Image], bool]) -> list[list[Image]]:
    clusters: list[list[Image]] = []
    for image in images:
        for cluster in clusters:
            if same(cluster[0], image):
                cluster.append(image)
                break
        else:
            clusters.append([image])
    return clusters


def _same_orientation(first: Image, second: Image) -> bool:
    return same_plane(first.orientation or (), second.orientation or ())


def _same_spacing(first: Sequence[float], second: Sequence[float]) -> bool:
    return first == second or all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(first, second, strict=True))


def _side_by_side(levels: list[list[Image]]) -> list[Finding]:
    """Images of one level that lie beside each other: they are no time points of one place."""
    first = levels[0][0]
    near = max(_one_place(first), 0.01)
    files, largest = set(), 0.0
    for level in levels:
        places = np.array([image.position for image in level], dtype=float)
        away = np.abs(places - places[0]).max(axis=1)
        largest = max(largest, float(away.max()))
        files |= {image.instance.label for image, far in zip(level, away > near, strict=True) if far}
    if not files:
        return []
    detail = f"images of one level lie up to {largest:.4g} mm beside each other"
    return [found("slices_not_aligned", detail, sorted(files)[:50], largest_mm=round(largest, 4))]


def _stacks_of(group: list[Image]) -> list[Stack]:
    group = sorted(group, key=_number)
    first = group[0]
    wrong = check_plane(first.position, first.orientation, first.spacing)
    if wrong:
        return _without_place(group, wrong)
    levels = _levels(group)
    if max(len(level) for level in levels) == 1:
        return [upright([[level[0] for level in levels]])]
    kinds = {image.kind for image in group}
    if len(kinds) > 1:
        note = found("several_kinds", f"{len(kinds)} kinds", kinds=len(kinds))
        parts = [[image for image in group if image.kind == kind] for kind in sorted(kinds, key=repr)]
        stacks = [stack for part in parts for stack in _stacks_of(part)]
        for stack in stacks:
            stack.findings.insert(0, note)
        return stacks
    return [_in_time(levels)]


def _one_place(image: Image) -> float:
    return min(ONE_PLACE * min(image.spacing or (1.0,)), ONE_PLACE_MM)


def _levels(group: list[Image]) -> list[list[Image]]:
    """Images by place along the normal, each level holding those of one place."""
    positions = np.array([image.position for image in group], dtype=float)
    along = positions @ normal_of(group[0].orientation or ())
    order = np.argsort(along, kind="stable")
    near = _one_place(group[0])
    levels: list[list[Image]] = []
    last = -math.inf
    for index in order:
        if along[index] - last > near:
            levels.append([])
            last = float(along[index])
        levels[-1].append(group[int(index)])
    return [level if len(level) == 1 else sorted(level, key=_number) for level in levels]


def _in_time(levels: list[list[Image]]) -> Stack:
    counts = [len(level) for level in levels]
    usual = Counter(counts).most_common(1)[0][0]
    if len(set(counts)) == 1:
        label, times, matrix = _time_order(levels)
        stack = upright(matrix)
        stack.findings.extend(_side_by_side(levels))
        stack.time_label, stack.times = label, times
        # Images without a label at a single place may be a stack whose positions were wiped out.
        if len(set(times)) < len(times) or (label == "instance number" and len(levels) == 1):
            stack.findings.append(found("time_unordered", f"{len(times)} time points", time_points=len(times)))
        elif label == "instance number":
            stack.findings.append(found("time_by_instance_number"))
        return stack
    if usual == 1:
        extra = [image for level in levels for image in level[1:]]
        stack = upright([[level[0] for level in levels]])
        code, detail = "repeated_position", f"{len(extra)} of {sum(counts)}"
    else:
        matrix, extra = _complete_times(levels)
        stack = upright(matrix)
        code, detail = "incomplete_time_point", f"{min(counts)} to {max(counts)} images at a position"
    files = sorted({image.instance.label for image in extra})[:50]
    stack.findings.append(found(code, detail, files, images=len(extra)))
    stack.left_out = [(image, code) for image in extra]
    return stack


def _label_names(levels: list[list[Image]]) -> Iterable[str]:
    return levels[0][0].labels


def _time_order(levels: list[list[Image]]) -> tuple[str, list[Any], list[list[Image]]]:
    """Time points by the first label that names each of them once at every position, else by instance number."""
    for name in _label_names(levels):
        tables = [{image.labels.get(name): image for image in level} for level in levels]
        keys = set(tables[0])
        if None not in keys and "" not in keys and all(len(t) == len(levels[0]) and set(t) == keys for t in tables):
            values: list[Any] = sorted(keys)  # type: ignore[type-var]
            return name, values, [[table[value] for table in tables] for value in values]
    numbers = [[image.instance.number for image in level] for level in levels]
    files = [{image.instance.label for image in level} for level in levels]
    one_file_each = len(levels) > 1 and all(part == files[0] for part in files)
    label = "file" if one_file_each else "instance number"
    count = len(levels[0])
    return label, [numbers[0][t] for t in range(count)], [[level[t] for level in levels] for t in range(count)]


def _complete_times(levels: list[list[Image]]) -> tuple[list[list[Image]], list[Image]]:
    """Time points that have every slice, and the images of those that have not."""
    for name in (*_label_names(levels), "number"):
        tables = [
            {(image.instance.number if name == "number" else image.labels.get(name)): image for image in level}
            for level in levels
        ]
        if any(
            None in table or "" in table or len(table) < len(level) for table, level in zip(tables, levels, strict=True)
        ):
            continue
        common: list[Any] = sorted(set.intersection(*(set(table) for table in tables)))  # type: ignore[type-var]
        if common:
            kept = [[table[value] for table in tables] for value in common]
            inside = {id(image) for images in kept for image in images}
            return kept, [image for level in levels for image in level if id(image) not in inside]
    count = min(len(level) for level in levels)
    kept = [[level[t] for level in levels] for t in range(count)]
    return kept, [image for level in levels for image in level[count:]]


def _without_place(group: list[Image], wrong: str) -> list[Stack]:
    """Stacks of images whose place is not given or not usable."""
    by_file: dict[int, list[Image]] = defaultdict(list)
    for image in group:
        by_file[id(image.instance)].append(image)
    projection = all(image.instance.modality in PROJECTIONS for image in group) and all(
        image.position is None or image.orientation is None for image in group
    )
    if projection or any(len(part) > 1 for part in by_file.values()):
        return [pile(part, wrong, projection=projection) for part in by_file.values()]
    return [pile(group, wrong, projection=False)]
