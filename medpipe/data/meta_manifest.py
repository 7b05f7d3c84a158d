"""Manifests of meta-data: images with coarse classes, and images without, for meta-learning.

    {
      "format": "medpipe-meta/1",
      "source": "where the classes come from",
      "root": "/data/rad",                  where image paths start: the manifest's own folder where it is not given
      "images": [
        {"image": "images/synpic1.jpg", "class": "chest_normal", "reason": "why"},
        {"image": "unlabeled/image1.jpg", "class": null, "reason": "why"}
      ]
    }

A relative ``root`` starts from the manifest's folder. Files never move: another division is another manifest. Wherever a
manifest is taken, so is a folder in one of these layouts:

    train/<class>/<image>, train_unlabel/<image>           as MMQ's authors distribute it
    meta/train/<class>/<image>, unlabeled/<image>          as our look-alike of VQA-RAD has it
    <class>/<image>                                        labelled images alone
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from medpipe.errors import InputDataError
from medpipe.io.atomic import write_text

from .names import some_names
from .picture_files import SUFFIXES

__all__ = [
    "MetaImage",
    "MetaManifest",
    "images_by_class",
    "meta_fingerprint",
    "meta_images",
    "picture_paths",
]

FORMAT = "medpipe-meta/1"
_PICTURES = (*SUFFIXES, ".dcm")
_LAYOUTS = (("meta/train", "unlabeled"), ("train", "train_unlabel"))


@dataclass(frozen=True)
class MetaImage:
    """One image.

    Attributes:
        image: Path from the manifest's root, with slashes.
        label: Its class; None where it has none.
        reason: Why it has that class, or none.
    """

    image: str
    label: str | None
    reason: str


@dataclass(frozen=True)
class MetaManifest:
    """Images with and without classes.

    Attributes:
        root: The folder that image paths start from.
        images: All of them, each once.
        source: Where the classes come from.
    """

    root: Path
    images: tuple[MetaImage, ...]
    source: str

    def path(self, image: MetaImage) -> str:
        """Where an image lies."""
        return str(self.root / image.image)

    def by_class(self) -> dict[str, list[str]]:
        """Class -> paths of its images; in order of the names."""
        names = sorted({image.label for image in self.images if image.label is not None})
        return {name: [self.path(image) for image in self.images if image.label == name] for name in names}

    def unlabelled(self) -> list[str]:
        """Paths of the images without a class."""
        return [self.path(image) for image in self.images if image.label is None]

    def counts(self) -> dict[str, int]:
        """Class -> number of its images."""
        return {name: len(images) for name, images in self.by_class().items()}

    def save(self, path: str | Path) -> None:
        """Write the manifest; the file appears only when it is whole.

        In or below the folder of the images it names them relative to itself, so that both can be moved together; anywhere
        else it names the folder in full.
        """
        here, root = Path(path).resolve().parent, self.root.resolve()
        inside = here.is_relative_to(root)
        content = {
            "format": FORMAT,
            "source": self.source,
            **({} if here == root else {"root": Path(os.path.relpath(root, here)).as_posix() if inside else str(root)}),
            "images": [{"image": i.image, "class": i.label, "reason": i.reason} for i in self.images],
        }
        write_text(Path(path), json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> MetaManifest:
        """Read and check a manifest.

        Raises:
            InputDataError: It is no manifest, an image stands twice, or one is not on disk; the message says which.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as fault:
            raise InputDataError(f"{path}: not readable as a JSON file: {fault}") from fault
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise InputDataError(f"{path}: is no manifest of meta-data (its 'format' must be {FORMAT})")
        listed, root = content.get("images"), content.get("root", ".")
        if not isinstance(listed, list) or not listed:
            raise InputDataError(f"{path}: 'images' must be a list of one or more images")
        if not isinstance(root, str) or not isinstance(content.get("source", ""), str):
            raise InputDataError(f"{path}: 'root' and 'source' must be texts")
        images = tuple(_image(item, f"{path}: images[{number}]") for number, item in enumerate(listed))
        manifest = cls(Path(path).parent / root, images, content.get("source", ""))
        _check_files(manifest, str(path))
        return manifest


def _image(item: Any, where: str) -> MetaImage:
    if not isinstance(item, dict) or not isinstance(item.get("image"), str) or "class" not in item:
        raise InputDataError(f"{where}: holds {str(item)[:60]!r}; expected an object with 'image' and 'class'")
    parts = PurePosixPath(item["image"])
    if not item["image"] or parts.is_absolute() or ".." in parts.parts:
        raise InputDataError(f"{where}: 'image' is {item['image'][:80]!r}; expected a path below the manifest's root")
    label, reason = item["class"], item.get("reason", "")
    if not (label is None or (isinstance(label, str) and label)) or not isinstance(reason, str):
        raise InputDataError(f"{where}: 'class' must be a name or null, and 'reason' a text")
    return MetaImage(parts.as_posix(), label, reason)


def _check_files(manifest: MetaManifest, source: str) -> None:
    counts = Counter(image.image for image in manifest.images)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise InputDataError(f"{source}: {len(twice)} images stand more than once: {some_names(twice)}")
    if missing := [name for name in counts if not (manifest.root / name).is_file()]:
        raise InputDataError(
            f"{source}: {len(missing)} images are not under '{manifest.root}': {some_names(missing)}; write the manifest "
            "again with 'medpipe data annotate', or mend its 'root'"
        )


def meta_images(source: str | Path) -> MetaManifest:
    """Images with and without classes: a manifest's, or a folder's in one of the layouts above.

    Raises:
        InputDataError: The manifest is wrong, or the folder holds no class.
    """
    root = Path(source)
    if root.is_file():
        return MetaManifest.load(root)
    labelled, unlabelled = next(
        ((root / first, root / second) for first, second in _LAYOUTS if (root / first).is_dir()), (root, None)
    )
    images = [MetaImage(_below(path, root), path.parent.name, "folder of its class") for path in _class_files(labelled)]
    if unlabelled is not None:
        found = _pictures(unlabelled) if unlabelled.is_dir() else []
        images += [MetaImage(_below(path, root), None, "folder without classes") for path in found]
    if not any(image.label for image in images):
        raise InputDataError(
            f"'{source}' holds no folders of classes; expected <class>/<image> in it, in its train/ or in its meta/train/, "
            "or a manifest that 'medpipe data annotate' wrote"
        )
    return MetaManifest(root, tuple(images), f"folders of {root.name}")


def _class_files(folder: Path) -> list[Path]:
    classes = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [path for name in classes for path in sorted(name.iterdir()) if _is_picture(path)]


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if _is_picture(path))


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in _PICTURES and path.is_file()


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def picture_paths(source: str | Path) -> list[Path]:
    """Pictures (JPEG, PNG, DICOM by their suffixes): all of a manifest, or those anywhere in a folder; sorted.

    Raises:
        InputDataError: The manifest is wrong.
    """
    root = Path(source)
    if not root.is_file():
        return _pictures(root)
    manifest = MetaManifest.load(root)
    return sorted(manifest.root / image.image for image in manifest.images)


def images_by_class(source: str | Path, note: Callable[[str], object] | None = None) -> dict[str, list[str]]:
    """Class -> its image files, for episodes; a class of one image is left out.

    Args:
        source: A manifest, or a folder in one of the layouts above.
        note: Takes what is to be said of classes that are left out; None for the standard error.

    Raises:
        InputDataError: The source is wrong, or fewer than 2 classes have 2 images.
    """
    found = meta_images(source).by_class()
    kept = {name: images for name, images in found.items() if len(images) > 1}
    if len(kept) < 2:
        raise InputDataError(
            f"'{source}' holds {len(kept)} classes of 2 or more images; expected 2 or more classes: an episode tells classes "
            "apart, learns from one image and asks another"
        )
    if left := found.keys() - kept.keys():
        (note or _say)(f"{source}: left out for having a single image: {some_names(left)}")
    return kept


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def meta_fingerprint(source: str | Path | None) -> str | None:
    """A hash of the names, sizes and classes of a source's pictures, which tells one set of them from another; None for None.

    Raises:
        InputDataError: The manifest is wrong.
    """
    if source is None:
        return None
    root = Path(source)
    if root.is_file():
        manifest = MetaManifest.load(root)
        rows: Iterable[tuple[str, int, str]] = (
            (image.image, (manifest.root / image.image).stat().st_size, image.label or "") for image in manifest.images
        )
    else:
        rows = ((_below(path, root), path.stat().st_size, "") for path in _pictures(root))
    text = "".join(f"{name}\0{size}\0{label}\n" for name, size, label in sorted(rows))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
