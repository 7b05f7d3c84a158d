from __future__ import annotations

import pytest

from medpipe.io.atomic import atomic_writer, write_text


def test_a_file_appears_whole_and_replaces_the_former(tmp_path) -> None:
    write_text(tmp_path / "a.txt", "one\n")
    write_text(tmp_path / "a.txt", "two\n")
    assert (tmp_path / "a.txt").read_bytes() == b"two\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_error_leaves_the_former_file_and_nothing_else(tmp_path) -> None:
    write_text(tmp_path / "a.txt", "one\n")
    with pytest.raises(RuntimeError, match="stop"), atomic_writer(tmp_path / "a.txt") as stream:
        stream.write(b"half")
        raise RuntimeError("stop")
    assert (tmp_path / "a.txt").read_text() == "one\n"
    assert len(list(tmp_path.iterdir())) == 1
