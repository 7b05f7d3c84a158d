from itertools import combinations

import numpy as np
import pytest

from medpipe.data.lookalikes.chest_ellipses import LARGE, SMALL, Canvas, Ellipse, make_canvas, sample_chest

SIZE = 128


def canvas(seed: int, size: int = SIZE) -> Canvas:
    rng = np.random.default_rng(seed)
    return make_canvas(rng, sample_chest(rng), size)


def test_an_ellipse_knows_its_level_and_its_places() -> None:
    ellipse = Ellipse(0.4, 0.5, 0.1, 0.2)
    assert ellipse.at(1, -0.5) == (0.5, 0.4)
    assert ellipse.level(0.4, 0.5) == 0
    assert ellipse.level(0.5, 0.5) == pytest.approx(1)
    assert ellipse.level(0.4, 0.3) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(20))
def test_every_chest_has_three_large_and_five_small_shadows_apart_within_the_lungs(seed: int) -> None:
    picture = canvas(seed)
    assert [spot.radius for spot in picture.spots] == [LARGE] * 3 + [SMALL] * 5
    for first, second in combinations(picture.spots, 2):
        assert np.hypot(first.x - second.x, first.y - second.y) > first.radius + second.radius
    for spot in picture.spots:
        assert min(lung.level(spot.x, spot.y) for lung in picture.chest.lungs) < 1
        assert picture.chest.heart.level(spot.x, spot.y) > 1


def test_the_shadows_of_one_size_are_of_one_brightness_in_an_image_and_of_another_in_the_next() -> None:
    def brightness(seed: int) -> list[float]:
        picture = canvas(seed, 512)
        plain = picture.image - picture.texture - picture.chest.lung
        return [plain[int(spot.y * 512), int(spot.x * 512)] for spot in picture.spots if spot.radius == SMALL]

    values = [brightness(seed) for seed in range(10)]
    assert max(np.ptp(each) for each in values) < 0.02
    assert np.ptp(np.mean(values, 1)) > 0.1


@pytest.mark.parametrize("seed", range(5))
def test_lungs_are_dark_and_the_air_beside_the_body_is_darker(seed: int) -> None:
    picture = canvas(seed)
    for side in (0, 1):
        lung = np.median(picture.image[picture.lung(side) > 0.99])
        assert picture.chest.air < lung < picture.chest.tissue - 0.1
    assert picture.image[0, 0] == pytest.approx(picture.chest.air, abs=0.01)


def test_structures_scale_with_the_picture() -> None:
    small, large = canvas(3, 64), canvas(3, 256)
    assert small.lung(0).mean() == pytest.approx(large.lung(0).mean(), rel=0.02)


def test_changing_the_chest_keeps_what_was_drawn() -> None:
    picture = canvas(1)
    before = picture.image.copy()
    picture.change(sample_chest(np.random.default_rng(9)))
    assert np.abs(picture.image - before).max() > 0.1
    picture.change(canvas(1).chest)
    np.testing.assert_allclose(picture.image, before, atol=1e-12)
