"""The same run on a cluster: one of this machine's processes, since it needs no other machine to be one."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medpipe.batch.cluster import require_ray
from medpipe.batch.cluster_worker import ClusterWorker, Outbox
from medpipe.bundles import find_bundle
from medpipe.cli.main import invoke
from medpipe.data.question_cases import find_questions
from medpipe.data.vqa_text import QuestionVocabulary
from medpipe.errors import RequestError
from medpipe.io.cases import find_radiographs

BUNDLE = "cxr_pneumothorax_acm"
SMALL = ["image_size=64", "picture_size=96"]
SCRIPT = Path(__file__).parents[2] / "scripts" / "fault_campaign.py"


@pytest.fixture(scope="module")
def campaign():
    if not SCRIPT.is_file():
        pytest.skip("scripts/ is not here")
    spec = importlib.util.spec_from_file_location("fault_campaign", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def request(**overrides: object) -> str:
    bundle = find_bundle(BUNDLE)
    given = {"weights": str(bundle.weights), "num_workers": 0, "image_size": 64, "picture_size": 96, **overrides}
    return json.dumps({"bundle": str(bundle.root), "mode": "infer", "overrides": given})


def test_a_worker_gives_results_with_the_content_of_their_files(campaign, tmp_path) -> None:
    campaign.write_study(tmp_path / "study", 10, seed=0)
    worker = ClusterWorker(request())
    assert worker.ready() == ""
    answers = {case["file"]: worker.infer(case) for case in find_radiographs(tmp_path / "study")}
    worker.close()
    assert {result.status for result, _ in answers.values()} == {"done", "skipped", "failed"}
    for result, files in answers.values():
        assert list(files) == (["marks.png"] if result.status == "done" else [])
        assert all(content.startswith(b"\x89PNG") for content in files.values())


def test_a_worker_answers_questions(tmp_path) -> None:
    Image.fromarray(np.tile(np.arange(64, dtype=np.uint8), (64, 1))).save(tmp_path / "a.png")
    bundle = find_bundle("radiology_vqa_mevf")
    overrides = {"weights": str(bundle.weights), "num_workers": 0}
    worker = ClusterWorker(json.dumps({"bundle": str(bundle.root), "mode": "infer", "overrides": overrides}))
    assert worker.ready() == ""
    questions = ["Is there a mass?", "Is this image normal?"]
    for case in find_questions(
        tmp_path, questions, QuestionVocabulary.load(bundle.weights.with_name("questions.json"))
    ):
        result, files = worker.infer(case)
        assert (result.status, result.facts["question"]) == ("done", case["question"])
        assert sorted(files) == ["attention.json", "image.png"]
    worker.close()


def test_a_worker_that_is_closed_leaves_no_file_and_what_a_killed_one_left_goes_with_the_next(
    campaign, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    code = (
        "import os, sys\nfrom medpipe.batch.cluster_worker import Outbox\n"
        "(Outbox().case_folder('case') / 'sr.dcm').write_text('Canary^Name')\n"
        "os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == -signal.SIGKILL
    (remains,) = (tmp_path / "tmp").iterdir()
    assert (remains / "case" / "sr.dcm").is_file()
    first, second = Outbox(), Outbox()
    assert not remains.exists()
    assert first.case_folder("a").is_dir()  # that of a living one stays
    assert second.case_folder("b").is_dir()
    first.close(), second.close()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_worker_says_why_it_cannot_work(tmp_path) -> None:
    worker = ClusterWorker(request(weights=str(tmp_path / "none.pt")))
    worker.close()
    assert "none.pt" in worker.ready()


def test_without_ray_the_error_names_the_extra(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RequestError, match=r"medpipe\[ray\]"):
        require_ray()
    assert invoke(["infer", BUNDLE, str(tmp_path), "-o", str(tmp_path / "out"), "--executor", "ray"]) == 2
    assert "medpipe[ray]" in capsys.readouterr().err


def actors() -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::ClusterWorker"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_cluster_that_loses_a_worker_makes_the_files_of_a_local_run(campaign, tmp_path) -> None:
    pytest.importorskip("ray")
    campaign.write_study(tmp_path / "study", 150, seed=4)
    command = ["infer", BUNDLE, str(tmp_path / "study"), *SMALL]
    assert invoke([*command, "--workers", "0", "-o", str(tmp_path / "local")]) == 3
    cluster = [*command, "num_workers=0", "--executor", "ray", "--workers", "2", "-o", str(tmp_path / "cluster")]
    code = "import sys; from medpipe.cli.main import invoke; sys.exit(invoke(sys.argv[1:]))"
    run = subprocess.Popen([sys.executable, "-c", code, *cluster], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 150
    while len(list(tmp_path.glob("cluster/cases/*/marks.png"))) < 10:
        assert time.monotonic() < end
        assert run.poll() is None, run.communicate()
        time.sleep(0.01)
    os.kill(actors()[0], signal.SIGKILL)
    _, error = run.communicate(timeout=150)
    assert run.returncode == 3, error
    local, spread = campaign.content(tmp_path / "local"), campaign.content(tmp_path / "cluster")
    for files in (local, spread):  # they name the command
        files.pop("run.json"), files.pop("report/index.html")
    assert local == spread
    assert campaign.rows(tmp_path / "local") == campaign.rows(tmp_path / "cluster")


def remains() -> set[str]:
    return {path.name for path in Path(tempfile.gettempdir()).glob("medpipe-worker-*")}


def test_a_cluster_that_loses_a_node_makes_the_dicom_objects_of_a_local_run(campaign, monkeypatch, tmp_path) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.cluster_utils import Cluster

    synth = ["data", "synth", "siim_acr", str(tmp_path / "study"), "--cases", "30", "--size", "128", "--seed", "5"]
    assert invoke(synth) == 0
    command = ["infer", BUNDLE, str(tmp_path / "study"), *SMALL, "--dicom", "sr,sc,pr"]
    assert invoke([*command, "--workers", "0", "-o", str(tmp_path / "local")]) == 0
    # The objects bear the date of their run: this one is the same, stopped after it began.
    (tmp_path / "cluster").mkdir()
    shutil.copy(tmp_path / "local" / "run.json", tmp_path / "cluster")
    before = remains()
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    workers = [nodes.add_node(num_cpus=1) for _ in range(2)]
    codes: list[int] = []
    options = ["num_workers=0", "--executor", "ray", "-o", str(tmp_path / "cluster")]
    run = threading.Thread(target=lambda: codes.append(invoke([*command, *options])), daemon=True)
    try:
        ray.init(nodes.address, log_to_driver=False)
        run.start()
        end = time.monotonic() + 150
        while len(list(tmp_path.glob("cluster/cases/*/sc.dcm"))) < 4 or len(actors()) < 2:
            assert time.monotonic() < end
            assert run.is_alive()
            time.sleep(0.01)
        own = (
            ray.get_runtime_context().get_node_id()
        )  # the driver hangs on one of them, as every driver does on its own
        nodes.remove_node(next(node for node in workers if node.node_id != own), allow_graceful=False)
        run.join(150)
    finally:
        ray.shutdown()
        nodes.shutdown()
    assert codes == [0]
    local, spread = campaign.content(tmp_path / "local"), campaign.content(tmp_path / "cluster")
    assert sum(name.endswith("/sr.dcm") for name in local) > 20
    for files in (local, spread):  # they name the command
        files.pop("run.json"), files.pop("report/index.html")
    assert local == spread
    assert campaign.rows(tmp_path / "local") == campaign.rows(tmp_path / "cluster")
    assert remains() <= before
