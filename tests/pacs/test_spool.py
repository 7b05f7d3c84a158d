from __future__ import annotations

from pathlib import Path

import pytest

from medpipe.errors import CaseFailedError, RequestError
from medpipe.pacs.spool import Spool, file_key


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def arrives(spool: Spool, study: str, instance: str, content: bytes = b"x") -> bool:
    path = spool.path / "incoming" / "one.part"
    path.write_bytes(content)
    return spool.store(path, study, instance, "SENDER")


def test_names_of_files_are_hashes_whatever_the_uid_holds(spool) -> None:
    assert arrives(spool, "../../etc", "../passwd\0")
    files = list(spool.path.rglob("*.dcm"))
    assert len(files) == 1
    assert files[0].is_relative_to(spool.path / "studies")
    assert file_key("a") != file_key("b")
    assert len(file_key("x" * 1000)) == 32


def test_a_study_is_ready_when_nothing_came_for_a_while(spool) -> None:
    arrives(spool, "s", "1")
    spool.settle(60)
    assert spool.take() is None
    spool.settle(0)
    taken = spool.take()
    assert (taken.state, taken.instances, taken.attempts, taken.sender) == ("running", 1, 1, "SENDER")
    assert spool.take() is None


def test_the_same_instance_again_changes_nothing_and_another_of_its_uid_is_refused(spool) -> None:
    assert arrives(spool, "s", "1", b"abc")
    spool.settle(0)
    assert not arrives(spool, "s", "1", b"abc")
    assert spool.studies()[0].state == "ready"
    with pytest.raises(CaseFailedError, match="same SOPInstanceUID"):
        arrives(spool, "s", "1", b"abd")
    assert spool.studies()[0].instances == 1


def test_an_instance_that_comes_during_the_run_makes_the_study_receive_again(spool) -> None:
    arrives(spool, "s", "1")
    spool.settle(0)
    study = spool.take()
    arrives(spool, "s", "2")
    spool.finish(study, "done")
    assert [(row.state, row.instances) for row in spool.studies()] == [("receiving", 2)]


def test_a_node_that_was_killed_takes_its_study_up_again(spool, tmp_path) -> None:
    arrives(spool, "s", "1")
    spool.settle(0)
    assert spool.take() is not None
    (spool.path / "incoming" / "half.part").write_bytes(b"half")
    spool._own.release()  # as the system does for a killed process; nobody called close
    again = Spool(spool.path)
    assert list((again.path / "incoming").iterdir()) == []
    taken = again.take()
    assert taken is not None
    assert taken.attempts == 2


def test_a_study_that_is_tried_again_waits_for_its_time(spool) -> None:
    arrives(spool, "s", "1")
    spool.settle(0)
    study = spool.take()
    spool.finish(study, "ready", "server away", due=9e12)
    assert spool.take() is None
    assert spool.studies()[0].reason == "server away"


def test_a_spool_is_for_one_node_and_its_owner_alone(spool) -> None:
    assert spool.path.stat().st_mode & 0o077 == 0
    with pytest.raises(RequestError, match="in use by another node"):
        Spool(spool.path)
    spool.close()
    Spool(spool.path).close()
