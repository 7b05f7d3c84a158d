from __future__ import annotations

import hashlib
import os
import zipfile

import pytest

from medpipe.errors import RequestError
from medpipe.predictions.fingerprints import case_key, digest_of, sha256_of_file, stamp_of, without_place


def test_a_digest_is_that_of_the_bytes(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"first")
    (tmp_path / "b").write_bytes(b"second")
    assert digest_of(str(tmp_path / "a")) == sha256_of_file(tmp_path / "a") == hashlib.sha256(b"first").hexdigest()
    both = hashlib.sha256(b"firstsecond").hexdigest()
    assert digest_of([str(tmp_path / "a"), str(tmp_path / "b")]) == digest_of(str(tmp_path)) == both


def test_a_member_of_an_archive_is_hashed_alone_and_a_frame_as_its_file(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("in/a", b"first")
        archive.writestr("in/b", b"second")
    assert digest_of(f"{tmp_path / 'x.zip'}!/in/b") == hashlib.sha256(b"second").hexdigest()
    (tmp_path / "cine").write_bytes(b"frames")
    assert digest_of(f"{tmp_path / 'cine'}#frame=3") == digest_of(str(tmp_path / "cine")) != ""


def test_what_cannot_be_read_has_neither_digest_nor_stamp(tmp_path) -> None:
    assert digest_of(str(tmp_path / "none")) == stamp_of(str(tmp_path / "none")) == ""
    assert digest_of("") == digest_of(None) == hashlib.sha256().hexdigest()
    with pytest.raises(RequestError, match="cannot be read"):
        sha256_of_file(tmp_path / "none")


def test_a_stamp_changes_with_size_and_time(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    os.utime(tmp_path / "a", ns=(5, 5))
    first = stamp_of(str(tmp_path / "a"))
    assert first == stamp_of([str(tmp_path / "a")]) == "1:5"
    os.utime(tmp_path / "a", ns=(5, 6))
    assert stamp_of(str(tmp_path / "a")) == "1:6"


def test_a_digest_is_not_remembered_beyond_a_change(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    before = digest_of(str(tmp_path / "a"))
    (tmp_path / "a").write_bytes(b"22")
    assert digest_of(str(tmp_path / "a")) != before


def test_frames_of_one_file_are_cases_of_their_own() -> None:
    frames = [{"case": f"c{n}", "file": "cine.dcm", "image": f"cine.dcm#frame={n}"} for n in (0, 1)]
    assert case_key(frames[0]) != case_key(frames[1])
    assert case_key({"case": "c", "file": "f"}) == case_key({"case": "other", "image": "f"})


def test_a_case_is_kept_without_its_place_and_known_again_by_its_key() -> None:
    case = {"case": "c", "file": "***/IM1.dcm", "image": "/in/DOE/IM1.dcm"}
    kept = without_place(case)
    assert "DOE" not in str(kept)
    assert case_key(kept) == case_key(case)
    assert without_place(kept) == kept
