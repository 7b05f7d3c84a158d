from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.data.episodes import sample_episode

CLASSES = {name: [f"{name}{n}" for n in range(size)] for name, size in (("a", 8), ("b", 6), ("c", 7), ("d", 2))}


@given(st.integers(0, 50), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_an_episode_has_its_images_per_class_and_none_on_both_sides(
    seed: int, ways: int, support: int, query: int, other: bool
) -> None:
    episode = sample_episode(CLASSES, np.random.default_rng(seed), ways=ways, support=support, query=query, other=other)
    assert len(set(episode.classes)) == ways + other
    assert ("other" in episode.classes) is other
    for part, count in ((episode.support, support), (episode.query, query)):
        assert Counter(label for _, label in part) == dict.fromkeys(range(ways + other), count)
        for image, label in part:
            name = episode.classes[label]
            assert image[0] == name if name != "other" else image[0] not in episode.classes
    assert not {image for image, _ in episode.support} & {image for image, _ in episode.query}


def test_a_large_class_gives_different_images_and_a_small_one_repeats_them() -> None:
    large = sample_episode({"a": CLASSES["a"], "b": CLASSES["a"]}, np.random.default_rng(0), ways=1, support=4, query=4)
    assert len({image for image, _ in large.support + large.query}) == 8
    small = sample_episode({"d": CLASSES["d"], "e": CLASSES["d"]}, np.random.default_rng(0), ways=1, support=3, query=3)
    assert {len({image for image, _ in part}) for part in (small.support, small.query)} == {1}


def test_labels_are_dealt_anew_in_every_episode() -> None:
    rng = np.random.default_rng(0)
    found = Counter(sample_episode(CLASSES, rng, ways=4, support=1, query=1).classes.index("a") for _ in range(400))
    assert all(60 < found[label] < 140 for label in range(4))


def test_an_episode_depends_on_its_generator_alone() -> None:
    reverse = dict(reversed(CLASSES.items()))
    one, two = (
        sample_episode(images, np.random.default_rng(3), ways=2, support=2, query=2) for images in (CLASSES, reverse)
    )
    assert one == two


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match=r"4 ways and other of 3 \+ 3 images cannot be drawn from 4 classes"):
        sample_episode(CLASSES, np.random.default_rng(0), ways=4, support=3, query=3, other=True)
    with pytest.raises(ValueError, match="at least 2 images, found 1"):
        sample_episode({"a": ["x"]}, np.random.default_rng(0), ways=1, support=1, query=1)
