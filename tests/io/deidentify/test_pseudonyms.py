from __future__ import annotations

import hashlib
import hmac
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from medpipe.errors import RequestError
from medpipe.io.deidentify.pseudonyms import Pseudonyms, read_or_make_key

KEY = bytes(range(32))


def test_a_key_is_made_once_for_its_owner_alone(tmp_path) -> None:
    first, new = read_or_make_key(tmp_path / "k")
    again, newer = read_or_make_key(tmp_path / "k")
    assert (new, newer) == (True, False)
    assert first == again
    assert len(first) == 32
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "mode", "message"), [("abc", 0o600, "holds no key"), ("0" * 64, 0o644, "chmod 600")]
)
def test_a_file_that_is_no_key_or_open_to_others_is_refused(tmp_path, content, mode, message) -> None:
    (tmp_path / "k").write_text(content)
    (tmp_path / "k").chmod(mode)
    with pytest.raises(RequestError, match=message):
        read_or_make_key(tmp_path / "k")


def test_names_are_the_hmac_of_kind_and_value() -> None:
    expected = hmac.new(KEY, b"patient\0id 7", hashlib.sha256).digest()
    import base64

    assert Pseudonyms(KEY).name("patient", "id 7") == base64.b32encode(expected).decode()[:12]


@given(st.text(max_size=70))
def test_a_new_uid_is_a_valid_uuid_based_one_and_always_the_same(value) -> None:
    uid = Pseudonyms(KEY).uid(value)
    assert UID(uid).is_valid
    number = uuid.UUID(int=int(uid.removeprefix("2.25.")))
    assert (number.version, number.variant) == (8, uuid.RFC_4122)
    assert uid == Pseudonyms(KEY).uid(value) != Pseudonyms(bytes(32)).uid(value)


def test_ten_thousand_values_get_as_many_names_and_uids() -> None:
    names = Pseudonyms(KEY)
    assert len({names.name("patient", str(n)) for n in range(10_000)}) == 10_000
    assert len({names.uid(str(n)) for n in range(10_000)}) == 10_000


@given(st.text())
def test_dates_move_back_by_one_day_to_ten_years(patient) -> None:
    assert -3650 <= Pseudonyms(KEY).shift_days(patient) <= -1


@pytest.mark.parametrize(
    ("text", "days", "expected"),
    [
        ("20240301", -1, "20240229"),
        ("2023.03.01", -1, "20230228"),
        ("20240301112233.5+0100", -366, "20230301112233.5+0100"),
        ("10000101", -1, "09991231"),
        ("00010101", -1, ""),
        ("202403", -1, ""),
        ("20240230", -1, ""),
        ("unknown", -1, ""),
        ("", -1, ""),
    ],
)
def test_a_date_moves_with_its_time_or_is_no_date(text, days, expected) -> None:
    assert Pseudonyms(KEY).shifted(text, days) == expected
