from __future__ import annotations

import subprocess
import sys

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


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_the_umask_is_obeyed(tmp_path, mask, mode) -> None:
    code = "import sys; from pathlib import Path; from medpipe.io.atomic import write_text; write_text(Path(sys.argv[1]), '')"
    command = [sys.executable, "-c", code, str(tmp_path / "a.txt")]
    subprocess.run(command, check=True, umask=mask)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode
