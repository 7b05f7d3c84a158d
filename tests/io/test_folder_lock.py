"""One run at a time in a folder."""

from __future__ import annotations

import pytest

from medpipe.errors import RequestError
from medpipe.io.folder_lock import locked


def test_a_folder_is_one_run_s_alone_and_then_free(tmp_path) -> None:
    with locked(tmp_path):
        with pytest.raises(RequestError, match="in use by another run"), locked(tmp_path):
            pass
        assert (tmp_path / ".lock").is_file()
    assert not (tmp_path / ".lock").exists()
    with locked(tmp_path):
        pass


def test_half_written_files_of_a_killed_run_are_removed(tmp_path) -> None:
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / ".x.part").write_text("")
    with locked(tmp_path):
        assert not (tmp_path / "cases" / ".x.part").exists()


def test_a_run_whose_folder_was_renamed_leaves_the_lock_of_the_one_in_its_place(tmp_path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    first = locked(folder)
    first.__enter__()
    folder.rename(tmp_path / "old")
    folder.mkdir()
    with locked(folder):
        first.__exit__(None, None, None)
        with pytest.raises(RequestError, match="in use by another run"), locked(folder):
            pass
