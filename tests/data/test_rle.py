import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medpipe.data.rle import decode_relative_rle, encode_relative_rle
from medpipe.errors import InputDataError


def slow_decode(text: str, rows: int, columns: int) -> np.ndarray:
    """Pixel by pixel, as the challenge's description has it."""
    mask = np.zeros((rows, columns), bool)
    if text.strip() == "-1":
        return mask
    numbers = [int(token) for token in text.split()]
    position = 0
    for offset, length in zip(numbers[::2], numbers[1::2], strict=True):
        position += offset
        for _ in range(length):
            mask[position % rows, position // rows] = True
            position += 1
    return mask


def test_pixels_run_down_the_columns_and_offsets_are_relative() -> None:
    mask = decode_relative_rle("1 2 3 1", rows=3, columns=4)
    expected = [
        [0, 0, 1, 0],
        [1, 0, 0, 0],
        [1, 0, 0, 0],
    ]
    np.testing.assert_array_equal(mask, np.array(expected, bool))


def test_the_first_offset_counts_from_zero() -> None:
    assert decode_relative_rle("0 1", 2, 2)[0, 0]
    assert encode_relative_rle(np.array([[True, False], [False, False]])) == "0 1"


def test_decoding_inverts_encoding_and_equals_the_slow_decoder_on_1000_random_masks() -> None:
    rng = np.random.default_rng(7)
    for _ in range(1000):
        rows, columns = rng.integers(1, 24, 2)
        mask = rng.random((rows, columns)) < rng.random()
        text = encode_relative_rle(mask)
        np.testing.assert_array_equal(decode_relative_rle(text, rows, columns), mask)
        np.testing.assert_array_equal(slow_decode(text, rows, columns), mask)


@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_encoding_inverts_decoding(mask: np.ndarray) -> None:
    text = encode_relative_rle(mask)
    assert encode_relative_rle(decode_relative_rle(text, *mask.shape)) == text


def test_a_full_size_mask_survives() -> None:
    row, column = np.mgrid[:1024, :1024]
    mask = (row - 300) ** 2 + (column - 700) ** 2 < 150**2
    np.testing.assert_array_equal(decode_relative_rle(encode_relative_rle(mask), 1024, 1024), mask)


@pytest.mark.parametrize("text", ["-1", " -1", "-1 \n"])
def test_minus_one_is_the_empty_mask(text: str) -> None:
    assert not decode_relative_rle(text, 3, 5).any()


def test_the_empty_and_the_full_mask() -> None:
    assert encode_relative_rle(np.zeros((4, 3), bool)) == "-1"
    assert encode_relative_rle(np.ones((4, 3), bool)) == "0 12"
    assert decode_relative_rle("0 12", 4, 3).all()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("3 2 1", "3 numbers"),
        ("3 -2", "-2"),
        ("-1 -1", "-1"),
        ("1.5 2", "'1.5'"),
        ("a b", "'a'"),
        ("- 2", "'-'"),
        ("nan", "'nan'"),
        ("0 13", "pixel 13"),
        ("6 2 4 1", "pixel 13"),
        ("1 99999999999999999999999", "pixel 1"),
    ],
)
def test_malformed_codes_are_refused_with_what_was_found(text: str, found: str) -> None:
    with pytest.raises(InputDataError, match=found):
        decode_relative_rle(text, 4, 3)


def test_a_mask_of_three_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 2, 3\)"):
        encode_relative_rle(np.zeros((1, 2, 3), bool))
