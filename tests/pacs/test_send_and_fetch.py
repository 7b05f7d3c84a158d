"""Against a real server: sent by C-STORE and STOW-RS, fetched by DICOMweb and C-GET."""

from __future__ import annotations

import pytest
from pydicom import dcmread
from pynetdicom import AE, StoragePresentationContexts, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from medpipe.errors import CaseFailedError, RequestError
from medpipe.pacs.fetch import Address, fetch, is_address
from medpipe.pacs.routes import Destination
from medpipe.pacs.send import send_instances


@pytest.mark.parametrize("way", ["C-STORE", "STOW-RS"])
def test_pixels_and_headers_come_back_as_they_were_sent(orthanc, study, tmp_path, way) -> None:
    by_store = Destination("ORTHANC", "127.0.0.1", orthanc.dicom_port)
    send_instances(study, by_store if way == "C-STORE" else Destination(stow=orthanc.dicomweb))
    assert len(orthanc.instances()) == 3
    uid = dcmread(study[0]).StudyInstanceUID
    address = (
        f"dicom://ORTHANC@127.0.0.1:{orthanc.dicom_port}?StudyInstanceUID={uid}"
        if way == "C-STORE"
        else f"dicomweb://127.0.0.1:{orthanc.web_port}/dicom-web?StudyInstanceUID={uid}"
    )
    assert fetch(Address.parse(address), tmp_path / "got") == 3
    sent = {dcmread(path).SOPInstanceUID: dcmread(path) for path in study}
    files = sorted((tmp_path / "got").rglob("*.dcm"))
    assert len(files) == 3
    assert (tmp_path / "got").stat().st_mode & 0o077 == 0
    for file in files:
        got = dcmread(file)
        assert got == sent[got.SOPInstanceUID]
        assert "canary" not in file.name.lower()


def test_fetching_again_writes_nothing_new(orthanc, study, tmp_path) -> None:
    for path in study:
        orthanc.upload(path.read_bytes())
    address = Address.parse(f"dicomweb://127.0.0.1:{orthanc.web_port}/dicom-web?PatientID=CANARY-7")
    fetch(address, tmp_path / "got")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "got").rglob("*.dcm")}
    assert fetch(address, tmp_path / "got") == 3
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "got").rglob("*.dcm")} == before


def test_a_study_that_is_not_there_and_a_server_that_is_away_are_told_apart(orthanc, study, tmp_path) -> None:
    for scheme, port, path in (
        ("dicomweb://", orthanc.web_port, "/dicom-web"),
        ("dicom://ORTHANC@", orthanc.dicom_port, ""),
    ):
        address = Address.parse(f"{scheme}127.0.0.1:{port}{path}?PatientID=nobody")
        with pytest.raises(CaseFailedError, match="no study that matches"):
            fetch(address, tmp_path / "got")
    orthanc.stop()
    with pytest.raises(CaseFailedError, match="127.0.0.1"):
        fetch(Address.parse(f"dicomweb://127.0.0.1:{orthanc.web_port}/dicom-web?PatientID=CANARY-7"), tmp_path / "got")
    for destination in (Destination("ORTHANC", "127.0.0.1", orthanc.dicom_port), Destination(stow=orthanc.dicomweb)):
        with pytest.raises(CaseFailedError, match="cannot be reached"):
            send_instances(study, destination)
    orthanc.start()
    send_instances(study, Destination("ORTHANC", "127.0.0.1", orthanc.dicom_port))
    assert len(orthanc.instances()) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://x?PatientID=1", "expected dicomweb://"),
        ("dicomweb:///dicom-web?PatientID=1", "and a host"),
        ("dicom://host:104?PatientID=1", "CALLED_AE_TITLE"),
        ("dicomweb://h:99999/x?PatientID=1", "ort"),
        ("dicomweb://h/x?PatientIdentifier=1", "no DICOM keyword"),
        ("dicomweb://bob:s3cret@h/x?PatientID=1", "netrc"),
        ("dicomweb://bob:s3cret@h:99999/x?PatientID=1", "netrc"),
        ("dicom://LONGER_THAN_SIXTEEN@h?PatientID=1", "1 to 16"),
        ("dicom://A%5CB@h?PatientID=1", "backslash"),
        ("dicomweb://h/x", "asks for nothing"),
        ("dicomweb://h/x?PatientID=*", "asks for nothing"),
    ],
)
def test_wrong_addresses_are_refused_without_repeating_what_was_asked_for(text, message) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        Address.parse(text)
    assert "PatientID=1" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_addresses_are_told_from_paths() -> None:
    assert is_address("dicomweb://h/x?PatientID=1")
    assert not is_address("/data/dicomweb")
    assert not is_address("C://x")


def test_instances_that_a_server_could_not_send_are_not_passed_over(study, tmp_path) -> None:
    datasets = [dcmread(path) for path in study]
    datasets[1].SOPClassUID = "1.2.826.0.1.3680043.9.9.9"  # of a kind that nobody asked for

    def find(event):
        yield 0xFF00, event.identifier

    def get(event):
        yield len(datasets)
        for dataset in datasets:
            yield 0xFF00, dataset

    server = AE(ae_title="SERVER")
    server.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    server.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
    for context in StoragePresentationContexts:
        server.add_supported_context(context.abstract_syntax, scu_role=False, scp_role=True)
    handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_GET, get)]
    running = server.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    port = running.server_address[1]
    address = Address.parse(f"dicom://SERVER@127.0.0.1:{port}?StudyInstanceUID={datasets[0].StudyInstanceUID}")
    try:
        with pytest.raises(CaseFailedError, match="could not send 1 instances"):
            fetch(address, tmp_path / "got")
    finally:
        running.shutdown()
    assert len(list((tmp_path / "got").rglob("*.dcm"))) == 2
