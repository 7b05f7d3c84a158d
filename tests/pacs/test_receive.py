from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medpipe.errors import RequestError
from medpipe.pacs.receive import Receiver
from medpipe.pacs.spool import Spool


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Callable[..., Receiver]]:
    started: list[Receiver] = []

    def start(**options) -> Receiver:
        receiver = Receiver(Spool(tmp_path / "spool"), "MEDPIPE", port=0, **options)
        receiver.start()
        started.append(receiver)
        return receiver

    yield start
    for receiver in started:
        receiver.stop()


def spooled(receiver: Receiver) -> list[Path]:
    return sorted((receiver.spool.path / "studies").rglob("*.dcm"))


def test_what_dcmtk_sends_lies_in_the_spool_with_the_same_data_set(listening, storescu, study) -> None:
    from pydicom import dcmread

    receiver = listening()
    done = storescu(receiver.port, study)
    assert done.returncode == 0, done.stderr
    files = spooled(receiver)
    assert len(files) == 3
    assert len({file.parent for file in files}) == 1
    sent = {dcmread(path).SOPInstanceUID: dcmread(path) for path in study}
    for file in files:
        got = dcmread(file)
        assert got.PixelData == sent[got.SOPInstanceUID].PixelData
        assert got == sent[got.SOPInstanceUID]
    assert [row.sender for row in receiver.spool.studies()] == ["TESTER"]


def test_no_name_of_a_patient_is_in_a_name_of_a_file(listening, storescu, study) -> None:
    receiver = listening()
    storescu(receiver.port, study)
    names = " ".join(str(path) for path in receiver.spool.path.rglob("*"))
    assert "canary" not in names.replace(str(receiver.spool.path), "").lower()


def test_compressed_pixels_are_kept_as_they_came(listening, storescu, write_dicom, ramp) -> None:
    from pydicom import dcmread
    from pydicom.uid import RLELossless

    path = write_dicom("rle.dcm", ramp, syntax=RLELossless, StudyInstanceUID="1.2.3")
    receiver = listening()
    sent = storescu(receiver.port, [path], "-xr")
    assert sent.returncode == 0, sent.stderr
    (file,) = spooled(receiver)
    assert dcmread(file).file_meta.TransferSyntaxUID == RLELossless
    assert dcmread(file).PixelData == dcmread(path).PixelData


def test_an_instance_without_a_study_is_refused_and_the_node_goes_on(
    listening, storescu, write_dicom, ramp, study
) -> None:
    receiver = listening()
    refused = storescu(receiver.port, [write_dicom("alone.dcm", ramp)])
    assert "Failure" in refused.stderr + refused.stdout or refused.returncode
    assert spooled(receiver) == []
    assert storescu(receiver.port, study).returncode == 0
    assert len(spooled(receiver)) == 3


def test_a_sender_that_is_not_on_the_list_is_refused(listening, storescu, study) -> None:
    receiver = listening(allow=["PACS"])
    assert storescu(receiver.port, study).returncode != 0
    assert storescu(receiver.port, study, aet="PACS").returncode == 0
    assert len(spooled(receiver)) == 3


def test_four_senders_at_once_lose_nothing(listening, storescu, write_dicom, ramp) -> None:
    receiver = listening()
    files = [
        [
            write_dicom(f"{s}/{k}.dcm", ramp, StudyInstanceUID=f"1.2.{s + 1}", SOPInstanceUID=f"1.3.{s + 1}.{k}")
            for k in range(5)
        ]
        for s in range(4)
    ]
    threads = [threading.Thread(target=storescu, args=(receiver.port, part)) for part in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spooled(receiver)) == 20
    assert [row.instances for row in receiver.spool.studies()] == [5, 5, 5, 5]


def test_a_full_disk_is_told_to_the_sender_and_nothing_stays_behind(listening, storescu, study, monkeypatch) -> None:
    receiver = listening()
    monkeypatch.setattr(receiver.spool, "room", lambda: 1000)
    done = storescu(receiver.port, study)
    assert "0xa700" in (done.stdout + done.stderr).lower() or done.returncode
    assert spooled(receiver) == []
    assert list((receiver.spool.path / "incoming").iterdir()) == []


def test_all_senders_are_admitted_on_the_loopback_interface_alone(tmp_path) -> None:
    with pytest.raises(RequestError, match=r"listening on 0.0.0.0 without 'allow'"):
        Receiver(Spool(tmp_path / "spool"), "MEDPIPE", host="0.0.0.0")
    with pytest.raises(RequestError, match="1 to 16 ASCII"):
        Receiver(Spool(tmp_path / "spool"), "A" * 17)


def test_a_port_in_use_is_named(listening, tmp_path) -> None:
    receiver = listening()
    second = Receiver(Spool(tmp_path / "other"), "MEDPIPE", port=receiver.port)
    with pytest.raises(RequestError, match=f"cannot listen on 127.0.0.1:{receiver.port}"):
        second.start()
