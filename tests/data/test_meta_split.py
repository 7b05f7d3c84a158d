"""Meta-data in two parts: what is held out, what stays, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.data.meta_split import split_meta
from medpipe.errors import InputDataError, RequestError


def make(root: Path, **counts: int) -> Path:
    for name, count in counts.items():
        folder = root / ("train_unlabel" if name == "unlabelled" else f"train/{name}")
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{name}{number}.jpg").touch()
    return root


def names(manifest) -> dict[str, int]:
    return manifest.counts()


def test_a_share_of_each_class_is_held_out_and_small_classes_are_learnt_from_whole(tmp_path) -> None:
    root = make(tmp_path, a=10, b=20, c=4, d=3, unlabelled=5)
    found = split_meta(root, ways=2)
    assert names(found.held_out) == {"a": 2, "b": 4, "c": 2}
    assert names(found.rounds) == {"a": 8, "b": 16, "c": 2, "d": 3}
    assert len(found.rounds.unlabelled()) == 5
    assert found.held_out.unlabelled() == []
    apart = {image.image for image in found.rounds.images} & {image.image for image in found.held_out.images}
    assert apart == set()


@given(seed=st.integers(0, 99), fraction=st.floats(0.01, 0.99))
def test_every_class_keeps_two_images_in_each_part(tmp_path_factory, seed, fraction) -> None:
    root = make(tmp_path_factory.mktemp("meta"), a=4, b=9, c=5)
    found = split_meta(root, ways=2, fraction=fraction, seed=seed)
    for part in (found.rounds, found.held_out):
        assert all(count >= 2 for count in names(part).values())
        assert len(names(part)) == 3
    assert len(found.rounds.images) + len(found.held_out.images) == 18
    assert split_meta(root, ways=2, fraction=fraction, seed=seed) == found


def test_an_image_alone_in_its_class_goes_on_without_one(tmp_path) -> None:
    found = split_meta(make(tmp_path, a=8, b=8, c=8, d=1), ways=2)
    assert "d" not in names(found.rounds)
    assert [image.reason for image in found.rounds.images if image.label is None] == ["the only image of d"]


def test_a_part_of_its_own_is_held_out_as_it_is(tmp_path) -> None:
    root = make(tmp_path / "t0", a=4, b=4, c=4)
    val = make(tmp_path / "val", a=2, b=2, c=2, d=1, unlabelled=3)
    found = split_meta(root, ways=2, val=val)
    assert names(found.rounds) == {"a": 4, "b": 4, "c": 4}
    assert names(found.held_out) == {"a": 2, "b": 2, "c": 2}
    assert len(found.held_out.images) == 6


def test_what_cannot_be_divided_is_refused_with_the_remedy(tmp_path) -> None:
    root = make(tmp_path / "t0", a=4, b=4, c=3, other=4)
    with pytest.raises(InputDataError, match="has a class 'other'.*rename it"):
        split_meta(root, ways=2)
    val = make(tmp_path / "val", a=2, b=2, other=2)
    with pytest.raises(InputDataError, match="val' has a class 'other'.*rename it"):
        split_meta(make(tmp_path / "t1", a=2, b=2, c=2), ways=2, val=val)
    (tmp_path / "t0" / "train" / "other").rename(tmp_path / "t0" / "train" / "d")
    with pytest.raises(InputDataError, match=r"held out: holds 3 classes.*episodes of 3 classes.*need 4.*ways=.*val="):
        split_meta(root, ways=3)
    with pytest.raises(InputDataError, match="outside the part held out: holds 4 classes"):
        split_meta(root, ways=4)
    with pytest.raises(InputDataError, match="15 images of val= are in meta="):
        split_meta(root, ways=2, val=root)
    for fraction in (0, 1):
        with pytest.raises(RequestError, match="val_fraction must be above 0 and below 1"):
            split_meta(root, ways=2, fraction=fraction)
