"""Panels of maps: their tiles, their colours, and that nothing is laid over where a map is zero."""

from __future__ import annotations

import numpy as np
from PIL import Image

from medpipe.predictions.attention import write_attention
from medpipe.predictions.heat_maps import draw_maps, map_panel

GREY = np.full((40, 30), 100, np.uint8)


def panel(*values: float) -> np.ndarray:
    maps = {f"map {number}": np.full((40, 30), value, np.float32) for number, value in enumerate(values)}
    return np.asarray(map_panel(Image.fromarray(GREY), GREY, maps))


def test_tiles_stand_in_rows_of_equal_length_under_their_captions() -> None:
    assert panel(0.0).shape == (56, 60, 3)
    assert panel(0.0, 0.0, 0.0).shape == (112, 60, 3)


def test_a_map_of_zero_leaves_the_image_as_it_is() -> None:
    assert (panel(0.0)[16:, 30:] == 100).all()


def test_higher_values_are_lighter_and_values_out_of_range_are_the_nearer_end() -> None:
    low, high = panel(0.3)[16:, 30:].sum(), panel(0.9)[16:, 30:].sum()
    assert low < high
    assert (panel(7.0) == panel(1.0)).all()
    assert (panel(-1.0) == panel(0.0)).all()


def test_the_first_tile_is_the_marked_image() -> None:
    marked = Image.new("RGB", (30, 40), (1, 2, 3))
    found = np.asarray(map_panel(marked, GREY, {"map": np.zeros((40, 30), np.float32)}))
    assert (found[16:, :30] == (1, 2, 3)).all()


def test_files_appear_whole_and_equal_for_equal_maps(tmp_path) -> None:
    for name in ("a.jpg", "b.jpg"):
        draw_maps(tmp_path / name, Image.fromarray(GREY), GREY, {"map": np.zeros((40, 30), np.float32)})
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "b.jpg"]


def test_attention_is_read_back_without_pickle(tmp_path) -> None:
    key = np.random.default_rng(0).random((4, 3, 3), np.float32)
    write_attention(tmp_path / "attention.npz", {"key": key})
    with np.load(tmp_path / "attention.npz", allow_pickle=False) as found:
        assert (found["key"] == key).all()
