from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.io.deidentify.descriptors import clean_description, identifying_words, without_identity


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("AX T2 FLAIR FS", "AX T2 FLAIR FS"),
        ("CT Thorax/Abdomen p.v. 5.0 B30f", "CT Thorax Abdomen p"),
        ("Lung 3 mm", "Lung 3 mm"),
        ("Chest PA, Dr. Miller, tel 555-1234", "Chest PA"),
        ("knee left 12/03/1960 MRN 8837162", "knee left"),
        ("SCAN_20200101_liver", "SCAN liver"),
        ("20 20 01 head", "head"),
        ("for Prof. Schmidt-Rottluff", ""),
        ("B0B50X", ""),
        ("", ""),
    ],
)
def test_only_words_of_anatomy_and_protocol_and_short_numbers_stay(text, cleaned) -> None:
    assert clean_description(text, frozenset()) == cleaned


def test_a_harmless_word_that_is_a_name_in_this_file_goes() -> None:
    identity = identifying_words(["Hand^Left", "19600312", "Jo"])
    assert identity == {"hand", "left", "19600312"}
    assert clean_description("left hand axial", identity) == "axial"


def test_free_text_loses_the_names_and_keeps_the_rest() -> None:
    identity = frozenset({"vogelsang", "77a1"})
    assert without_identity("coil Vogelsang, 77A1!", identity) == "coil , !"
    assert without_identity("  untouched\r\n text ", identity) == "  untouched\r\n text "


@given(st.text(alphabet=st.characters(exclude_characters="\0"), max_size=40), st.text(max_size=20))
def test_cleaning_twice_changes_nothing_and_invents_no_word(text, other) -> None:
    once = clean_description(f"{text} chest {other}", frozenset())
    assert clean_description(once, frozenset()) == once or any(c.isdigit() for c in once)
    assert set(once.split()) <= set("".join(c if c.isalnum() else " " for c in f"{text} chest {other}").split())
