"""The node from end to end, with DCMTK's sender and a real server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from medpipe.cli.main import invoke
from medpipe.errors import CaseFailedError
from medpipe.pacs.node import Node, Waits, infer_in_process
from medpipe.pacs.routes import Destination, Route
from medpipe.pacs.spool import Spool

NOW = Waits(quiet=0.0, retry=0.0, attempts=2, limit=120.0)


def filled(tmp_path: Path, study: list[Path]) -> Spool:
    """A spool that has received the study."""
    from pydicom import dcmread

    spool = Spool(tmp_path / "spool")
    for path in study:
        incoming = spool.path / "incoming" / "x.part"
        incoming.write_bytes(path.read_bytes())
        header = dcmread(path)
        spool.store(incoming, header.StudyInstanceUID, header.SOPInstanceUID, "TESTER")
    return spool


class Copying:
    """Stands for a bundle: copies each instance as its result, after as many failures as it is told."""

    def __init__(self, fails: int = 0) -> None:
        self.fails = fails
        self.ran: list[tuple[int, str]] = []

    def __call__(self, folder: Path, route: Route, output: Path, limit: float) -> None:
        files = sorted(folder.glob("*.dcm"))
        self.ran.append((len(files), route.name))
        if self.fails:
            self.fails -= 1
            raise CaseFailedError("the bundle broke")
        for path in files:
            target = output / "cases" / path.stem
            target.mkdir(parents=True, exist_ok=True)
            (target / "result.dcm").write_bytes(path.read_bytes())


def test_results_are_sent_where_the_route_says(tmp_path, study, orthanc) -> None:
    spool = filled(tmp_path, study)
    route = Route("all", "any", send=(Destination("ORTHANC", "127.0.0.1", orthanc.dicom_port),))
    Node(spool, None, [route], NOW, Copying()).run(idle=0)
    assert [row.state for row in spool.studies()] == ["done"]
    assert len(orthanc.instances()) == 3


def test_only_matching_routes_are_run_and_a_study_without_one_is_unrouted(tmp_path, study) -> None:
    spool, bundle = filled(tmp_path, study), Copying()
    routes = [Route("ct", "any", {"Modality": ["CT"]}), Route("cr", "any", {"Modality": ["CR"]}), Route("all", "any")]
    Node(spool, None, routes, NOW, bundle).run(idle=0)
    assert bundle.ran == [(3, "cr"), (3, "all")]
    other = filled(tmp_path / "other", study)
    Node(other, None, routes[:1], NOW, bundle).run(idle=0)
    assert [(row.state, row.reason) for row in other.studies()] == [("unrouted", "no route matches")]


def test_a_run_that_failed_is_tried_again_and_then_given_up_until_asked_for(tmp_path, study) -> None:
    spool = filled(tmp_path, study)
    Node(spool, None, [Route("all", "any")], NOW, Copying(fails=1)).run(idle=0)
    assert [(row.state, row.attempts) for row in spool.studies()] == [("done", 2)]
    other = filled(tmp_path / "other", study)
    Node(other, None, [Route("all", "any")], NOW, Copying(fails=9)).run(idle=0)
    assert [(row.state, row.reason) for row in other.studies()] == [("failed", "the bundle broke")]
    assert other.retry_failed() == 1
    Node(other, None, [Route("all", "any")], NOW, Copying()).run(idle=0)
    assert [row.state for row in other.studies()] == ["done"]


def test_a_server_that_was_away_gets_the_results_when_it_is_back(tmp_path, study, orthanc) -> None:
    spool = filled(tmp_path, study)
    orthanc.stop()
    route = Route("all", "any", send=(Destination("ORTHANC", "127.0.0.1", orthanc.dicom_port),))
    node = Node(spool, None, [route], Waits(quiet=0, retry=0.2, attempts=20), Copying())
    worker = threading.Thread(target=node.run, kwargs={"idle": 1.0})
    worker.start()
    time.sleep(1.0)
    assert "tried again later" in spool.studies()[0].reason
    orthanc.start()
    worker.join(60)
    assert [row.state for row in spool.studies()] == ["done"]
    assert len(orthanc.instances()) == 3


def test_a_bundle_in_its_own_process_names_what_went_wrong(tmp_path) -> None:
    (tmp_path / "study").mkdir()
    with pytest.raises(CaseFailedError, match=r"route 'r': exit code 2: error: .*no files under"):
        infer_in_process(tmp_path / "study", Route("r", "cxr_pneumothorax_acm"), tmp_path / "out", 120)


def started(tmp_path: Path, port: int, *more: str, **rules: object) -> subprocess.Popen[str]:
    """The command, once it listens."""
    rule = {
        "name": "chest",
        "when": {"Modality": "CR"},
        "bundle": "cxr_pneumothorax_acm",
        "options": {"num_workers": 0},
    }
    (tmp_path / "routes.yaml").write_text(json.dumps({"routes": [{**rule, **rules}]}))  # JSON is YAML
    folders = ["--routes", str(tmp_path / "routes.yaml"), "--spool", str(tmp_path / "spool")]
    command = [sys.executable, "-m", "medpipe.cli.main", "node", *folders, "--port", str(port), *more]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "listening as MEDPIPE" in process.stderr.readline()
    return process


def test_a_node_that_was_killed_runs_the_study_when_it_is_started_again(tmp_path, storescu, study, free_port) -> None:
    first = started(tmp_path, free_port, "--quiet", "3600")
    assert storescu(free_port, study).returncode == 0
    first.kill()
    first.wait(10)
    second = started(tmp_path, free_port, "--quiet", "0", "--idle", "1")
    _, text = second.communicate(timeout=120)
    assert second.returncode == 0, text
    assert "studies: 1 done" in text
    assert "Canary" not in text
    (tables,) = (tmp_path / "spool" / "results").rglob("cases.csv")
    assert tables.read_text().count(",done,") == 3


def test_a_node_stops_when_told_and_says_how_studies_stand(tmp_path, storescu, study, free_port) -> None:
    process = started(tmp_path, free_port, "--quiet", "3600")
    assert storescu(free_port, study).returncode == 0
    process.send_signal(signal.SIGTERM)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "studies: 1 receiving" in text


def test_a_study_goes_in_by_c_store_and_its_report_comes_back_to_the_server(
    tmp_path, storescu, study, free_port, orthanc
) -> None:
    """The whole way, with the bundle: DCMTK's sender, the node, Orthanc, and DCMTK's reader of reports."""
    from pydicom import dcmread

    server = {"ae_title": "ORTHANC", "host": "127.0.0.1", "port": orthanc.dicom_port}
    process = started(tmp_path, free_port, "--quiet", "0.5", "--idle", "1", dicom=["sr", "sc", "seg"], send=[server])
    assert storescu(free_port, study).returncode == 0
    _, text = process.communicate(timeout=120)
    assert "studies: 1 done" in text
    kinds: dict[str, list[Path]] = {}
    for number, instance in enumerate(orthanc.instances()):
        path = tmp_path / f"back{number}.dcm"
        path.write_bytes(orthanc.file(instance))
        header = dcmread(path)
        assert header.StudyInstanceUID == dcmread(study[0]).StudyInstanceUID
        assert header.PatientID == "CANARY-7"  # it goes back to its patient
        kinds.setdefault(header.Modality, []).append(path)
    assert {kind: len(paths) for kind, paths in kinds.items()} == {"SR": 3, "OT": 3, "SEG": 3}
    shown = subprocess.run(["dsrdump", str(kinds["SR"][0])], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "not for clinical use" in shown.stdout
    for path in kinds["SEG"]:
        made = dcmread(path)
        (source,) = made.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        (radiograph,) = (
            dcmread(file) for file in study if dcmread(file).SOPInstanceUID == source.ReferencedSOPInstanceUID
        )
        assert made.pixel_array.squeeze().shape == (radiograph.Rows, radiograph.Columns)
    read = subprocess.run(["dcm2json", str(kinds["SEG"][0])], capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr


def test_infer_takes_the_address_of_a_server_and_does_not_keep_what_was_asked_for(tmp_path, study, orthanc) -> None:
    for path in study:
        orthanc.upload(path.read_bytes())
    address = f"dicomweb://127.0.0.1:{orthanc.web_port}/dicom-web?PatientID=CANARY-7"
    command = [sys.executable, "-m", "medpipe.cli.main", "infer", "cxr_pneumothorax_acm", address, "num_workers=0"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "out")], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "3 instances retrieved" in done.stderr
    assert (tmp_path / "out" / "cases.csv").read_text().count(",done,") == 3
    assert "CANARY" not in (tmp_path / "out" / "run.json").read_text()


def test_a_fault_that_quotes_the_patient_is_logged_and_kept_without_the_quote(tmp_path, study, caplog) -> None:
    from pydicom import dcmread

    header = dcmread(study[0])

    def fail(folder: Path, route: Route, output: Path, limit: float) -> None:
        raise CaseFailedError(f"value {header.PatientID} of {header.PatientName} is wrong")

    spool = filled(tmp_path, study)
    Node(spool, None, [Route("all", "any")], NOW, fail).run(idle=0)
    assert [row.reason for row in spool.studies()] == ["value *** of *** is wrong"]
    assert str(header.PatientName) not in caplog.text
    assert str(header.PatientID) not in caplog.text
    assert "value *** of *** is wrong; given up" in caplog.text


def test_a_fault_that_nobody_foresaw_ends_the_study_and_not_the_node(tmp_path, study) -> None:
    class Broken(Copying):
        def __call__(self, *call: object) -> None:
            raise ValueError("'CANARY' is odd")

    spool = filled(tmp_path, study)
    Node(spool, None, [Route("all", "any")], NOW, Broken()).run(idle=0)
    assert [(row.state, row.reason) for row in spool.studies()] == [("failed", "ValueError: '...' is odd")]


def test_what_comes_in_is_put_together_in_the_spool(tmp_path, monkeypatch) -> None:
    places = []
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(Node, "run", lambda *_: places.append(tempfile.gettempdir()))
    routes = tmp_path / "routes.yaml"
    routes.write_text("routes: [{name: a, bundle: cxr_pneumothorax_acm}]")
    assert invoke(["node", "--routes", str(routes), "--spool", str(tmp_path / "spool"), "--port", "0"]) == 0
    assert places == [str(tmp_path / "spool" / "incoming")]
