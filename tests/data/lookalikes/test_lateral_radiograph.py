import numpy as np

from medpipe.data.lookalikes.lateral_radiograph import draw_lateral_radiograph


def test_a_lateral_view_is_an_image_within_its_range() -> None:
    image = draw_lateral_radiograph(np.random.default_rng(1), 100)
    assert image.shape == (100, 100)
    assert image.dtype == np.float32
    assert image.min() >= 0
    assert image.max() <= 1


def test_abdomen_is_bright_lung_darker_and_air_darkest() -> None:
    image = draw_lateral_radiograph(np.random.default_rng(1), 200)
    abdomen, lung, air = image[180, 90:110].mean(), image[60, 100:120].mean(), image[100, :10].mean()
    assert abdomen > lung + 0.2
    assert lung > air + 0.2
