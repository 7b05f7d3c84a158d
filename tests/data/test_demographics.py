import pytest

from medpipe.data.demographics import parse_age


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("58", 58),
        ("058Y", 58),
        (" 7 ", 7),
        ("0", 0),
        ("018M", 1),
        ("011M", 0),
        ("104W", 2),
        ("400D", 1),
        ("413", 413),
        ("", None),
        ("Y", None),
        ("-3", None),
        ("5.5", None),
        ("old", None),
    ],
)
def test_ages_in_all_their_spellings(text: str, years: int | None) -> None:
    assert parse_age(text) == years
