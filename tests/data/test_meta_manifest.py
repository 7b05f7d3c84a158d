"""Manifests of images with and without classes: written, read, made from folders, refused where wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from medpipe.data.meta_manifest import (
    MetaImage,
    MetaManifest,
    images_by_class,
    meta_fingerprint,
    meta_images,
    picture_paths,
)
from medpipe.errors import InputDataError


def files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.fixture
def manifest(tmp_path) -> MetaManifest:
    root = files(tmp_path / "set", "x/1.jpg", "x/2.jpg", "y/3.png")
    images = (MetaImage("x/1.jpg", "b", "seen"), MetaImage("x/2.jpg", None, ""), MetaImage("y/3.png", "a", "seen"))
    return MetaManifest(root, images, "a hand")


@pytest.mark.parametrize(("place", "root"), [("set", None), ("set/lists", ".."), (".", "in full")])
def test_a_manifest_is_read_as_it_was_written_and_names_its_folder_so_that_both_may_move(
    manifest, tmp_path, place, root
) -> None:
    path = tmp_path / place / "meta.json"
    path.parent.mkdir(exist_ok=True)
    manifest.save(path)
    found = MetaManifest.load(path)
    assert (found.images, found.source) == (manifest.images, manifest.source)
    assert found.root.resolve() == manifest.root.resolve()
    written = json.loads(path.read_text())
    assert written["format"] == "medpipe-meta/1"
    assert written.get("root") == (str(manifest.root) if root == "in full" else root)
    if root != "in full":
        shutil.move(tmp_path / "set", tmp_path / "moved")
        path = tmp_path / "moved" / path.relative_to(tmp_path / "set")
    assert MetaManifest.load(path).by_class().keys() == {"a", "b"}


def test_images_are_sorted_by_class_and_those_without_stand_apart(manifest) -> None:
    assert manifest.by_class() == {"a": [str(manifest.root / "y/3.png")], "b": [str(manifest.root / "x/1.jpg")]}
    assert manifest.unlabelled() == [str(manifest.root / "x/2.jpg")]
    assert manifest.counts() == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "its 'format' must be medpipe-meta/1"),
        ({"images": []}, "'images' must be a list of one or more"),
        ({"images": ["a.jpg"]}, r"images\[0\]: holds 'a.jpg'"),
        ({"images": [{"image": "x/1.jpg"}]}, "expected an object with 'image' and 'class'"),
        ({"images": [{"image": "../1.jpg", "class": None}]}, "expected a path below the manifest's root"),
        ({"images": [{"image": "/etc/passwd", "class": None}]}, "expected a path below the manifest's root"),
        ({"images": [{"image": "x/1.jpg", "class": 3}]}, "'class' must be a name or null"),
        ({"images": [{"image": "x/1.jpg", "class": "a"}] * 2}, "1 images stand more than once: x/1.jpg"),
        ({"images": [{"image": "gone.jpg", "class": "a"}]}, "1 images are not under .*: gone.jpg"),
        ({"root": 3}, "'root' and 'source' must be texts"),
    ],
)
def test_a_wrong_manifest_is_refused_by_what_is_wrong(manifest, tmp_path, change, message) -> None:
    path = tmp_path / "set" / "meta.json"
    manifest.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputDataError, match=message):
        MetaManifest.load(path)


def test_a_file_that_is_no_json_is_refused(tmp_path) -> None:
    (tmp_path / "meta.json").write_text("{")
    with pytest.raises(InputDataError, match="not readable as a JSON file"):
        meta_images(tmp_path / "meta.json")


@pytest.mark.parametrize(
    ("labelled", "unlabelled"), [("train", "train_unlabel"), ("meta/train", "unlabeled"), ("", None)]
)
def test_folders_are_read_in_all_layouts_in_order_of_their_names(tmp_path, labelled, unlabelled) -> None:
    for name in ("b", "a"):
        files(tmp_path / labelled, *(f"{name}/{file}" for file in ("2.jpg", "1.PNG", "notes.txt")))
    if unlabelled:
        files(tmp_path / unlabelled, "3.jpg", "deep/4.dcm")
    found = meta_images(tmp_path)
    assert {name: [Path(path).name for path in paths] for name, paths in found.by_class().items()} == {
        "a": ["1.PNG", "2.jpg"],
        "b": ["1.PNG", "2.jpg"],
    }
    assert [Path(path).name for path in found.unlabelled()] == (["3.jpg", "4.dcm"] if unlabelled else [])


def test_a_class_of_one_image_is_left_out_with_a_note_and_too_few_classes_are_refused(tmp_path, capsys) -> None:
    files(tmp_path, "a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg", "c/5.jpg")
    assert images_by_class(tmp_path).keys() == {"a", "b"}
    assert "left out for having a single image: c" in capsys.readouterr().err
    (tmp_path / "b" / "4.jpg").unlink()
    with pytest.raises(InputDataError, match=r"holds 1 classes of 2 or more images; expected 2 or more classes"):
        images_by_class(tmp_path)
    with pytest.raises(InputDataError, match="holds no folders of classes; expected <class>/<image>"):
        images_by_class(tmp_path / "none")


def test_pictures_of_a_manifest_are_its_images_and_those_of_a_folder_are_all(manifest, tmp_path) -> None:
    path = tmp_path / "meta.json"
    manifest.save(path)
    assert [file.name for file in picture_paths(path)] == ["1.jpg", "2.jpg", "3.png"]
    assert [file.name for file in picture_paths(files(tmp_path / "set", "z.dcm", "z.txt"))] == [
        *("1.jpg", "2.jpg", "3.png", "z.dcm"),
    ]


def test_another_name_size_or_class_is_another_set_of_pictures(manifest, tmp_path) -> None:
    path, other = tmp_path / "meta.json", tmp_path / "other.json"
    manifest.save(path)
    moved = MetaManifest(manifest.root, (*manifest.images[:2], MetaImage("y/3.png", "b", "seen")), "a hand")
    moved.save(other)
    assert len({meta_fingerprint(source) for source in (path, other, manifest.root)}) == 3
    before = meta_fingerprint(manifest.root)
    (manifest.root / "notes.txt").write_text("not a picture")
    assert meta_fingerprint(manifest.root) == before
    (manifest.root / "x/1.jpg").write_text("12345")
    assert meta_fingerprint(manifest.root) != before
