from __future__ import annotations

from pathlib import Path

import filelock
import pytest

from medpipe.errors import RequestError
from medpipe.io.folder_lock import locked
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


def test_the_lock_s_file_is_gone_before_the_lock_is_let_go(tmp_path, monkeypatch) -> None:
    there = []
    release = filelock.FileLock.release
    monkeypatch.setattr(
        filelock.FileLock,
        "release",
        lambda lock, **options: (there.append((tmp_path / ".lock").exists()), release(lock, **options)),
    )
    with locked(tmp_path):
        pass
    assert there[0] is False
