"""Headers that are kept: what they give back is what the files say, and no file that changed is trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medpipe.errors import RequestError
from medpipe.io import series as series_module
from medpipe.io.header_store import HeaderStore
from medpipe.io.series import Index, index_files


@pytest.fixture
def folder(phantom, tmp_path: Path) -> Path:
    """Five slices in a folder."""
    target = tmp_path / "in"
    phantom().save(target)
    return target


def told(index: Index) -> str:
    """All that an index says."""
    rows = [(series, [vars(stack) for stack in series.stacks()]) for series in index.series]
    return repr((rows, sorted(index.names), index.files))


def refuse_to_read(*arguments: object) -> None:
    raise AssertionError("a header was read")


def test_a_second_look_reads_no_header_and_says_the_same(folder: Path, tmp_path: Path, monkeypatch) -> None:
    first = told(index_files(folder, HeaderStore(tmp_path / "index")))
    monkeypatch.setattr(series_module, "read_instance", refuse_to_read)
    store = HeaderStore(tmp_path / "index")
    assert told(index_files(folder, store)) == first
    assert store.reused == len(list(folder.iterdir()))


@pytest.mark.shared_data
@pytest.mark.parametrize(
    "part",
    ["dicom_nifti/dcm_qa_enh", "dicom_nifti/dcm_qa_mosaic", "dicom_nifti/dcm_qa_ct", "dicom_misc/highdicom_test_files"],
)
def test_every_kind_of_header_comes_back_as_it_was(shared_data: Path, tmp_path: Path, part: str) -> None:
    first = told(index_files(shared_data / part, HeaderStore(tmp_path / "index")))
    store = HeaderStore(tmp_path / "index")
    assert told(index_files(shared_data / part, store)) == first
    assert store.reused


def test_a_changed_file_is_read_again(folder: Path, tmp_path: Path) -> None:
    index_files(folder, HeaderStore(tmp_path / "index"))
    path = sorted(folder.iterdir())[0]
    content = path.read_bytes()
    path.write_bytes(content.replace(b"CT", b"MR"))
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    store = HeaderStore(tmp_path / "index")
    index = index_files(folder, store)
    assert {series.modality for series in index.series} == {"CT", "MR"}
    assert store.reused == len(list(folder.iterdir())) - 1


def test_files_that_are_gone_are_forgotten(folder: Path, tmp_path: Path) -> None:
    index_files(folder, HeaderStore(tmp_path / "index"))
    size = (tmp_path / "index").stat().st_size
    for path in sorted(folder.iterdir())[2:]:
        path.unlink()
    index_files(folder, HeaderStore(tmp_path / "index"))
    assert (tmp_path / "index").stat().st_size < size


def test_labels_of_another_root_are_not_reused(folder: Path, tmp_path: Path) -> None:
    index_files(folder, HeaderStore(tmp_path / "index"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "note.txt").write_text("x")
    store = HeaderStore(tmp_path / "index")
    index = index_files([folder, tmp_path / "other"], store)
    assert store.reused == 0
    assert all(label.startswith(("in/", "other/")) for label in index.files)


def test_only_the_owner_may_read_it(folder: Path, tmp_path: Path) -> None:
    index_files(folder, HeaderStore(tmp_path / "index"))
    assert (tmp_path / "index").stat().st_mode & 0o077 == 0


def test_headers_of_another_version_are_read_again(folder: Path, tmp_path: Path, monkeypatch) -> None:
    index_files(folder, HeaderStore(tmp_path / "index"))
    monkeypatch.setattr("medpipe.io.header_store.__version__", "0.0.0")
    store = HeaderStore(tmp_path / "index")
    index_files(folder, store)
    assert store.reused == 0


@pytest.mark.parametrize("content", [b"", b"\xc1", b"no index", b"\x81\xa7version\xa11"])
def test_another_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index").write_bytes(content)
    with pytest.raises(RequestError, match="no index of headers"):
        HeaderStore(tmp_path / "index")
    assert (tmp_path / "index").read_bytes() == content
