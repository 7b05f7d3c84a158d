from __future__ import annotations

from pathlib import Path

import pytest

from medpipe.errors import RequestError
from medpipe.io.folders import empty_folder


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    assert empty_folder(tmp_path / "a" / "b").is_dir()
    assert empty_folder(tmp_path / "a" / "b").is_dir()


def test_a_folder_that_holds_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.txt").touch()
    with pytest.raises(RequestError, match="not empty"):
        empty_folder(tmp_path)
    with pytest.raises(RequestError, match="is a file"):
        empty_folder(tmp_path / "old.txt")
