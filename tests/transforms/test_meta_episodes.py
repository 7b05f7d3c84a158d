"""Episodes that every network sees alike, with queries of the classes or of a pool."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medpipe.transforms.meta_episodes import SeededEpisodes
from medpipe.transforms.vqa import stretched

SMALL = {"count": 4, "ways": 2, "support": 1, "query": 2, "side": 16}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    root: Path = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    found: dict[str, list[str]] = {}
    for name in ("a", "b", "c", "pool"):
        for number in range(4):
            path = root / f"{name}{number}.png"
            Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(path)
            found.setdefault(name, []).append(str(path))
    return found


def classes(images: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: paths for name, paths in images.items() if name != "pool"}


def test_episodes_have_their_images_labels_and_the_names_of_both(images) -> None:
    of_classes = classes(images)
    for episode in SeededEpisodes(of_classes, **SMALL):
        assert episode["support"].shape == (3, 1, 16, 16)
        assert episode["query"].shape == (6, 1, 16, 16)
        assert Counter(episode["query_label"].tolist()) == {0: 2, 1: 2, 2: 2}
        assert "other" in episode["classes"]
        for place, (image, label) in enumerate(
            zip(episode["query_image"], episode["query_label"].tolist(), strict=True)
        ):
            torch.testing.assert_close(episode["query"][place], stretched(image, 16))
            name = episode["classes"][label]
            of = next(name for name, paths in of_classes.items() if image in paths)
            assert of == name if name != "other" else of not in episode["classes"]


def test_each_iteration_gives_the_same_episodes_and_another_seed_others(images) -> None:
    def asked(*seed: int) -> list[list[str]]:
        return [episode["query_image"] for episode in SeededEpisodes(classes(images), seed=seed, **SMALL)]

    episodes = SeededEpisodes(classes(images), seed=(3, 1), **SMALL)
    first, second = ([episode["query_image"] for episode in episodes] for _ in range(2))
    assert first == second == asked(3, 1)
    assert first != asked(3, 2)
    assert len(episodes) == len(first) == 4


def test_queries_of_a_pool_are_different_within_a_class_and_have_no_label(images) -> None:
    episodes = SeededEpisodes(classes(images), images["pool"], **SMALL)
    for episode in episodes:
        assert "query_label" not in episode
        assert set(episode["query_image"]) <= set(images["pool"])
        for row in range(3):
            assert len(set(episode["query_image"][2 * row : 2 * row + 2])) == 2
    assert episodes.appearances == 4 * 3 * 2 / 4


def test_a_pool_smaller_than_the_queries_is_asked_about_whole(images) -> None:
    episodes = SeededEpisodes(classes(images), images["pool"][:1], **SMALL)
    assert [episode["query_image"] for episode in episodes] == [images["pool"][:1] * 3] * 4
    assert episodes.appearances == 12
    assert SeededEpisodes(classes(images), **SMALL).appearances == 0


def test_what_cannot_be_drawn_is_refused_at_once(images) -> None:
    with pytest.raises(ValueError, match="3 ways and other"):
        SeededEpisodes(classes(images), **{**SMALL, "ways": 3})
