"""Pairs of real volumes on the grid of a registration network, for training and for the export of a teacher's fields."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, Dataset
from monai.transforms import Compose, CopyItemsd, MapTransform, Transform
from torch import Tensor

from medpipe.data.registration_datalist import entry_below, load_registration_datalist
from medpipe.data.registration_pairs import Pair, PairList, pairs
from medpipe.data.teacher_fields import field_path, read_teacher_field, write_teacher_field
from medpipe.errors import InputDataError, RequestError

from .bspline_deformation import RandBSplineDeformd
from .synthetic_pairs import plain_tensor, random_label_maps

__all__ = [
    "FieldFolder",
    "PairNames",
    "PairVolumes",
    "ReadTeacherFieldd",
    "augment_moving",
    "label_maps",
]


class PairVolumes(Dataset):
    """The pairs of a section of a registration datalist; each volume is read and brought to the grid once.

    An item has "fixed" and "moving" (1, X, Y, Z) in [0, 1], "fixed_label" and "moving_label" where the datalist has
    labels for all of the section's volumes, and "fixed_case" and "moving_case".

    Args:
        datalist: The registration datalist.
        root: The data set's folder.
        section: "training", "validation" or "test".
        on_grid: Makes of an entry, whose paths are complete, "image" and, where it has a label, "label".
        transforms: Of the pairs, in order; None among them are left out.
        most: At most so many pairs, spread evenly over all; None for all.
        without_record: Leave out pairs that have a field in this folder, as of ``medpipe.data.teacher_fields``.
        cache: Volumes that are kept in memory.
        num_workers: Threads that read them.

    Raises:
        InputDataError: The section has no pair, or some of its volumes have labels and others not.
    """

    def __init__(
        self,
        datalist: str | Path,
        root: str | Path,
        section: str,
        *,
        on_grid: Callable[[dict[str, Any]], dict[str, Any]],
        transforms: Sequence[Callable[[Any], Any] | None] = (),
        most: int | None = None,
        without_record: str | Path | None = None,
        cache: int = 2000,
        num_workers: int = 2,
    ) -> None:
        known = load_registration_datalist(datalist)
        found = pairs(known, section)
        if not len(found):
            raise InputDataError(f"{datalist}: section '{section}' has no pair; it needs two subjects")
        entries = {entry["case"]: entry for entry in _entries(known, section, found)}
        labelled = {case for case, entry in entries.items() if "label" in entry}
        if labelled and len(labelled) < len(entries):
            lacking = min(entries.keys() - labelled)
            raise InputDataError(f"{datalist}: section '{section}' has labels, but case '{lacking}' has none")
        chosen: Sequence[Pair] = found if most is None or most >= len(found) else _spread(found, most)
        self.names = PairNames(chosen)
        if without_record is not None:
            folder = Path(without_record)
            chosen = [pair for pair in chosen if not field_path(folder, pair[0]["case"], pair[1]["case"]).is_file()]
        if chosen is not found:
            entries = {entry["case"]: entry for pair in chosen for entry in pair}
        super().__init__(chosen, None)
        self.pair_transform = Compose([each for each in transforms if each is not None])
        self._place = {case: number for number, case in enumerate(entries)}
        self.volumes = CacheDataset(
            [entry_below(entry, root) for entry in entries.values()],
            _Only(on_grid),
            cache_num=cache,
            num_workers=num_workers,
            progress=False,
        )

    def _transform(self, index: int) -> Any:
        pair: dict[str, Any] = {}
        for role, entry in zip(("fixed", "moving"), self.data[index], strict=True):
            volume = self.volumes[self._place[entry["case"]]]
            pair[role], pair[f"{role}_case"] = volume["image"], entry["case"]
            if "label" in volume:
                pair[f"{role}_label"] = volume["label"]
        return self.pair_transform(pair)


class PairNames(Sequence[tuple[str, str]]):
    """Fixed and moving case of each pair, computed when asked for."""

    def __init__(self, chosen: Sequence[Pair]) -> None:
        self._chosen = chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        fixed, moving = self._chosen[number]
        return fixed["case"], moving["case"]


def _spread(found: PairList, most: int) -> list[Pair]:
    """So many pairs, evenly over all."""
    numbers = np.linspace(0, len(found) - 1, most).round().astype(int)
    return [found[int(number)] for number in numbers]


class _Only(Transform):
    """Keeps image and label, as plain tensors, of what another transform gives."""

    def __init__(self, on_grid: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self.on_grid = on_grid

    def __call__(self, entry: dict[str, Any]) -> dict[str, Tensor]:
        result = self.on_grid(entry)
        return {name: plain_tensor(result[name]) for name in ("image", "label") if name in result}


class ReadTeacherFieldd(MapTransform):
    """Adds the field that a teacher found for a pair: "field" (3, X, Y, Z) float32 in voxels, and "field_given".

    Args:
        keys: One key, of a volume of the pair, whose size the field must have.
        folder: The records, as of ``medpipe.data.teacher_fields``.
        required: Refuse a pair without a record; else its field is zeros and not given.

    Raises:
        RequestError: The folder holds no record at all.
    """

    def __init__(
        self, keys: Hashable | Sequence[Hashable] = "fixed", *, folder: str | Path, required: bool = False
    ) -> None:
        super().__init__(keys)  # type: ignore[arg-type]
        self.folder, self.required = Path(folder).expanduser(), required
        if next(self.folder.glob("*.npz"), None) is None:
            raise RequestError(f"'{folder}' holds no fields of a teacher; export them first, then name their folder")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add them.

        Raises:
            InputDataError: A record is damaged, of another size, or missing where it is required.
        """
        shape = tuple(data[self.keys[0]].shape[1:])
        path = field_path(self.folder, data["fixed_case"], data["moving_case"])
        if not path.is_file():
            if self.required:
                raise InputDataError(f"{path}: this pair has no field; export the teacher's fields of all pairs first")
            return {**data, "field": torch.zeros(3, *shape), "field_given": False}
        field = read_teacher_field(path)
        if field.shape[1:] != shape:
            raise InputDataError(f"{path}: a field of size {field.shape[1:]} for volumes of size {shape}")
        return {**data, "field": torch.from_numpy(field.astype(np.float32)), "field_given": True}


class FieldFolder:
    """A folder of records of a teacher's fields, to write them.

    Args:
        folder: Made with its first record.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, fixed: str, moving: str) -> Path:
        """Where the record of a pair of cases lies."""
        return field_path(self.folder, fixed, moving)

    def write(self, field: Any, fixed: str, moving: str) -> None:
        """Write the record of a pair, whole or not at all; the field is (3, X, Y, Z) in voxels."""
        path = self.path(fixed, moving)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_teacher_field(path, field, f"{fixed}-{moving}")


def augment_moving(*, amplitude: float = 0.4, prob: float = 1.0) -> Compose:
    """Adds "augmented" and "augmented_label": the moving volumes under one random deformation.

    The moving volumes themselves stay: a teacher's field belongs to them.

    Args:
        amplitude: As of ``RandBSplineDeformd``.
        prob: Likewise.
    """
    names = {"moving": "augmented", "moving_label": "augmented_label"}
    deform = RandBSplineDeformd(
        list(names.values()), ("bilinear", "nearest"), amplitude=amplitude, prob=prob, allow_missing_keys=True
    )
    return Compose([CopyItemsd(list(names), names=list(names.values()), allow_missing_keys=True), deform])


def label_maps(
    kind: str | Sequence[str],
    *,
    count: int,
    image_size: int,
    seed: int,
    datalist: str | Path | None = None,
    root: str | Path | None = None,
    section: str = "training",
    on_grid: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> list[dict[str, Tensor]]:
    """Label maps to make synthetic pairs of.

    Args:
        kind: ``datalist``, the labels of real volumes; ``images``, those volumes themselves; ``pairs``, pairs of them
            as the datalist has them, evenly spread; or a kind of ``random_label_maps``. Several kinds are taken in turn, each as often as the others.
        count: How many random ones, or at most so many real ones; of each kind.
        image_size: Of random ones.
        seed: Likewise.
        datalist: The registration datalist; of ``datalist`` alone, as are the others.
        root: The data set's folder.
        section: "training", "validation" or "test".
        on_grid: Makes "label" of an entry, as of ``PairVolumes``.

    Returns:
        Samples with "label" (1, X, Y, Z) of whole numbers; of ``images`` with "image" (1, X, Y, Z) in [0, 1], too, and
        a label map of zeros where a volume has none; of ``pairs`` with "fixed_image" and "fixed_label" besides.

    Raises:
        InputDataError: The section has no volume or no pair, or no volume has labels.
        RequestError: Labels of a datalist are asked for, and none is named.
        ValueError: The kind is unknown.
    """
    if not isinstance(kind, str):
        options: dict[str, Any] = {"datalist": datalist, "root": root, "section": section, "on_grid": on_grid}
        found = [label_maps(each, count=count, image_size=image_size, seed=seed, **options) for each in kind]
        turns = range(max(map(len, found)))
        return [samples[turn % len(samples)] for turn in turns for samples in found]
    if kind not in ("datalist", "images", "pairs"):
        return random_label_maps(kind, count=count, image_size=image_size, seed=seed)
    if datalist is None or root is None or on_grid is None:
        raise RequestError(f"label_maps={kind} needs a data set; give dataset_dir=ROOT and datalist=FILE")
    known = load_registration_datalist(datalist)
    if kind == "pairs":
        return _real_pairs(datalist, pairs(known, section), count, lambda entry: on_grid(entry_below(entry, root)))
    entries = [e for e in known[section] if "label" in e or kind == "images"]
    if not entries:
        wanted = "a label" if kind == "datalist" else "an image"
        raise InputDataError(f"{datalist}: no volume of section '{section}' has {wanted}")
    return [_sample(on_grid(entry_below(entry, root)), kind) for entry in entries[:count]]


def _real_pairs(
    datalist: str | Path, found: PairList, count: int, read: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[dict[str, Tensor]]:
    if not len(found):
        raise InputDataError(f"{datalist}: there is no pair to take")
    chosen: Sequence[Pair] = found if len(found) <= count else _spread(found, count)
    volumes = {entry["case"]: entry for pair in chosen for entry in pair}
    samples = {case: _sample(read(entry), "images") for case, entry in volumes.items()}
    roles = {"image": "fixed_image", "label": "fixed_label"}
    return [
        {**samples[moving["case"]], **{roles[name]: value for name, value in samples[fixed["case"]].items()}}
        for fixed, moving in chosen
    ]


def _sample(placed: Mapping[str, Any], kind: str) -> dict[str, Tensor]:
    if kind == "datalist":
        return {"label": plain_tensor(placed["label"])}
    image = plain_tensor(placed["image"])
    return {"image": image, "label": plain_tensor(placed["label"]) if "label" in placed else torch.zeros_like(image)}


def _entries(datalist: dict[str, Any], section: str, found: PairList) -> list[dict[str, Any]]:
    """The entries that occur in pairs, without going through a million of them where all are paired."""
    if datalist["pairs"].get(section, {"how": "all"})["how"] == "all":
        return list(datalist[section])
    return [entry for pair in found for entry in pair]
