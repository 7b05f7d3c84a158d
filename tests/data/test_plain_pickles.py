import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.data.plain_pickles import read_plain_pickle
from medpipe.errors import InputDataError

PLAIN = {
    "word2idx": {"are": 0, "the": 1},
    "list": ["a", 1, 2.5, None, True, (1, "b"), b"bytes"],
    "sets": [{1, 2}, frozenset({"x"})],
}


def stored(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


class Hostile:
    """Unpickling it runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_plain_content_comes_back_equal(tmp_path: Path, protocol: int) -> None:
    content = {"word2idx": PLAIN["word2idx"], "list": PLAIN["list"][:6]}
    assert read_plain_pickle(stored(tmp_path / "x.pkl", content, protocol), dtypes=()) == content
    assert read_plain_pickle(stored(tmp_path / "y.pkl", PLAIN, 4), dtypes=()) == PLAIN


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float16", "float32", ">f8", "<u4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numbers_come_back_equal(tmp_path: Path, protocol: int, dtype: str, order: Any) -> None:
    array = np.asarray(np.arange(24).reshape(2, 3, 4) % 2, dtype, order=order)
    content = {"images": array, "again": [array, np.zeros((0, 3), dtype)]}
    found = read_plain_pickle(stored(tmp_path / "x.pkl", content, protocol))
    np.testing.assert_array_equal(found["images"], array)
    assert found["images"].dtype == array.dtype.newbyteorder("=")
    assert found["again"][0] is found["images"]
    assert found["again"][1].shape == (0, 3)


def test_arrays_are_refused_where_none_or_others_are_expected(tmp_path: Path) -> None:
    path = stored(tmp_path / "x.pkl", [np.zeros(3, np.float32)])
    with pytest.raises(InputDataError, match=r"x\.pkl: refused: it names 'numpy\.\S+', which is no part of plain data"):
        read_plain_pickle(path, dtypes=())
    with pytest.raises(InputDataError, match="dtype 'f4'; expected float16 or float64"):
        read_plain_pickle(path, dtypes=("float16", "float64"))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtypes", [None, ()])
def test_a_tampered_pickle_is_refused_by_name_and_runs_nothing(tmp_path: Path, protocol: int, dtypes: Any) -> None:
    proof = tmp_path / "proof"
    path = stored(tmp_path / "x.pkl", [{"sent": "what is this?"}, Hostile(f"touch {proof}")], protocol)
    with pytest.raises(InputDataError, match=r"x\.pkl: refused: it names '(posix|nt)\.system'"):
        read_plain_pickle(path, dtypes)
    assert not proof.exists()
    pickle.loads(path.read_bytes())  # the same bytes do run where nothing holds them back
    assert proof.exists()


@pytest.mark.parametrize("content", [np.array([{}], object), OrderedDict(a=1), np.float32(1), Path("x"), print])
def test_anything_but_plain_content_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(InputDataError, match=r"x\.pkl: (refused|holds arrays of dtype 'O8')"):
        read_plain_pickle(stored(tmp_path / "x.pkl", content))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"cnumpy\nndarray\n.", "belongs to no array"),
        (b"cnumpy\ndtype\n(S'f4'\nI00\nI01\ntR.", "belongs to no array"),
        (b"cbuiltins\neval\n(S'1'\ntR.", r"names 'builtins\.eval'"),
        (b"cnumpy\nfromfile\n(S'/etc/passwd'\ntR.", r"names 'numpy\.fromfile'"),
        (b"\x80\x02]r\xff\xff\xff\x7f.", r"asks for 2,147,483,647 places of memory, but has 9 bytes"),
        (b"(lp0\ng0\na.", "holds itself"),
        (b"Pid\n.", "not readable as a pickle"),
        (b"", "not readable as a pickle"),
    ],
)
def test_what_a_forged_file_says_is_refused(tmp_path: Path, code: bytes, message: str) -> None:
    (tmp_path / "x.pkl").write_bytes(code)
    with pytest.raises(InputDataError, match=message):
        read_plain_pickle(tmp_path / "x.pkl")


def test_lists_shared_a_million_times_over_are_read_at_once(tmp_path: Path) -> None:
    part: list[Any] = ["lol"]
    for _ in range(60):
        part = [part, part]
    found = read_plain_pickle(stored(tmp_path / "x.pkl", part))
    assert found[0] is found[1]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_bytes_never_get_past_the_two_outcomes(tmp_path_factory: Any, data: st.DataObject) -> None:
    good = bytearray(pickle.dumps({"a": [1, "b", np.zeros(3, np.float32)]}, data.draw(st.integers(0, 5))))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("p") / "x.pkl"
    path.write_bytes(good)
    try:
        read_plain_pickle(path)
    except InputDataError as fault:
        message = str(fault)
    else:
        return
    assert str(path) in message
