from pathlib import Path

import pytest

from medpipe.data.files import empty_folder, write_text
from medpipe.errors import RequestError


def test_a_text_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "one\n")
    write_text(tmp_path / "a.txt", "zwei: ü\n")
    assert (tmp_path / "a.txt").read_bytes() == "zwei: ü\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    assert empty_folder(tmp_path / "a" / "b").is_dir()
    assert empty_folder(tmp_path / "a" / "b").is_dir()


def test_a_folder_that_holds_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.txt").touch()
    with pytest.raises(RequestError, match="not empty"):
        empty_folder(tmp_path)
    with pytest.raises(RequestError, match="is a file"):
        empty_folder(tmp_path / "old.txt")
