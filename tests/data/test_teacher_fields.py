import io
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.data.teacher_fields import (
    convert_pickled_fields,
    field_path,
    read_pickled_fields,
    read_teacher_field,
    write_teacher_field,
)
from medpipe.errors import InputDataError, RequestError

RNG = np.random.default_rng(0)


def fields(*pairs: str) -> dict[str, np.ndarray]:
    return {pair: RNG.normal(size=(4, 5, 6, 3)).astype(np.float16) for pair in pairs}


def shard(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


class Hostile:
    """Unpickling it runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def test_a_record_is_read_as_written_and_equal_fields_give_equal_bytes(tmp_path: Path) -> None:
    field = RNG.normal(size=(3, 4, 5, 6))
    for name in ("a", "b"):
        write_teacher_field(field_path(tmp_path, name, "m"), field, "f-m")
    np.testing.assert_array_equal(read_teacher_field(tmp_path / "a-m.npz"), field.astype(np.float16))
    assert (tmp_path / "a-m.npz").read_bytes() == (tmp_path / "b-m.npz").read_bytes()


def test_names_with_dashes_make_a_pair_that_is_kept_whole(tmp_path: Path) -> None:
    content = fields("lpba_S01-abide_GU_1-28741")
    convert_pickled_fields([shard(tmp_path / "x.pkl", content)], tmp_path / "out")
    path = field_path(tmp_path / "out", "lpba_S01", "abide_GU_1-28741")
    assert read_teacher_field(path).shape == (3, 4, 5, 6)
    with np.load(path, allow_pickle=False) as record:
        assert str(record["pair"]) == "lpba_S01-abide_GU_1-28741"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", ["C", "F"])
def test_published_pickles_become_one_record_a_pair(tmp_path: Path, protocol: int, order: Any) -> None:
    content = {pair: np.asarray(field, order=order) for pair, field in fields("a-b", "b-a").items()}
    assert convert_pickled_fields([shard(tmp_path / "x.pkl", content, protocol)], tmp_path / "out") == 2
    for pair, field in content.items():
        found = read_teacher_field(tmp_path / "out" / f"{pair}.npz")
        np.testing.assert_array_equal(found, np.moveaxis(field, -1, 0))


def test_pickles_of_older_numpy_are_read(tmp_path: Path) -> None:
    content = fields("a-b")
    text = pickle.dumps(content, 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "x.pkl").write_bytes(text)
    np.testing.assert_array_equal(dict(read_pickled_fields(tmp_path / "x.pkl"))["a-b"], content["a-b"])


def test_shards_are_merged_in_the_order_of_their_names_and_the_last_counts(tmp_path: Path) -> None:
    first, second = fields("a-b", "b-a"), fields("a-b")
    shards = [shard(tmp_path / "2.pkl", second), shard(tmp_path / "1.pkl", first)]
    assert convert_pickled_fields(shards, tmp_path / "out") == 2
    np.testing.assert_array_equal(read_teacher_field(tmp_path / "out" / "a-b.npz"), np.moveaxis(second["a-b"], -1, 0))
    with pytest.raises(RequestError, match="not empty"):
        convert_pickled_fields(shards, tmp_path / "out")


@pytest.mark.parametrize("protocol", range(6))
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path: Path, protocol: int) -> None:
    proof = tmp_path / "proof"
    path = shard(tmp_path / "x.pkl", {**fields("a-b"), "b-a": Hostile(f"touch {proof}")}, protocol)
    with pytest.raises(InputDataError, match=r"x\.pkl: refused: it names '(posix|nt)\.system'"):
        convert_pickled_fields([path], tmp_path / "out")
    assert not proof.exists()
    pickle.loads(path.read_bytes())  # the same bytes do run where nothing holds them back
    assert proof.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'__class__'\ntR.",
        b"cnumpy\nfromfile\n(S'/etc/passwd'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy._core.multiarray\n_reconstruct\n(cbuiltins\nobject\n(I0\ntS'b'\ntR.",
        b"cnumpy\ndtype\n(S'O8'\nI00\nI01\ntR.",
        b"cnumpy\nndarray\n(I3\ntR.",
        b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
        b"cnumpy\nndarray\n(S'_name'\nS'dtype'\ndb.",
        b"cmedpipe.data.teacher_fields\npickle\n.",
        b"cnumpy\ndtype.__class__\n.",
        b"(I1\nI2\nl.",
        b"S'text'\n.",
        b"Pid\n.",
        b"",
        b"\x80\x04",
    ],
)
def test_anything_but_a_dictionary_of_fields_is_refused_with_the_file(tmp_path: Path, code: bytes) -> None:
    (tmp_path / "x.pkl").write_bytes(code)
    with pytest.raises(InputDataError, match=r"x\.pkl"):
        list(read_pickled_fields(tmp_path / "x.pkl"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a-b": np.zeros((2, 2, 2, 3), np.float32)}, "dtype 'f4'; expected float16"),
        ({"a-b": np.array([{}], object)}, "expected float16"),
        ({"a-b": np.zeros((2, 2, 2, 2), np.float16)}, r"'a-b' has the shape \(2, 2, 2, 2\); expected \(x, y, z, 3\)"),
        ({3: np.zeros((2, 2, 2, 3), np.float16)}, "'3' is no array under a text"),
        ({"a-b": [1.0]}, "'a-b' is no array"),
        ([1], "holds a list; expected a dictionary"),
        ({"../a": np.zeros((2, 2, 2, 3), np.float16)}, "cannot name a file"),
    ],
)
def test_other_content_is_refused_by_name(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InputDataError, match=message):
        convert_pickled_fields([shard(tmp_path / "x.pkl", content)], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_never_get_past_the_two_outcomes(tmp_path_factory: Any, data: st.DataObject) -> None:
    good = bytearray(pickle.dumps({"a-b": np.zeros((2, 2, 2, 3), np.float16)}, data.draw(st.integers(0, 5))))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:  # indices of the memo are 4 bytes: one that asks for gigabytes is no test
        sizes = [argument for op, argument, _ in pickletools.genops(io.BytesIO(good)) if "PUT" in op.name]
        if any(size > 1000 for size in sizes):
            return
    except Exception:
        pass
    path = tmp_path_factory.mktemp("p") / "x.pkl"
    path.write_bytes(good)
    try:
        found = list(read_pickled_fields(path))
    except InputDataError:
        return
    assert all(field.dtype == np.float16 and field.shape[-1] == 3 for _, field in found)


def test_a_pickle_is_no_record_and_says_what_to_do(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.pkl", fields("a-b"))
    with pytest.raises(InputDataError, match="could run anything when opened; convert it once"):
        read_teacher_field(path)
    path.rename(tmp_path / "x.npz")
    with pytest.raises(InputDataError, match="not readable as a field"):
        read_teacher_field(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", displacement=np.zeros((3, 2, 2, 2)))
    with pytest.raises(InputDataError, match="holds float64"):
        read_teacher_field(tmp_path / "y.npz")
