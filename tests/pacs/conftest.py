"""Real servers for the tests: Orthanc and DCMTK, as Debian has them, on the loopback interface."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Orthanc:
    """One server with DICOMweb, in a folder of its own; it keeps its ports over a restart."""

    folder: Path
    modalities: dict[str, Any] = field(default_factory=dict)
    dicom_port: int = field(default_factory=unused_port)
    web_port: int = field(default_factory=unused_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def dicomweb(self) -> str:
        return f"http://127.0.0.1:{self.web_port}/dicom-web"

    def start(self) -> None:
        import requests

        settings = {
            "Name": "test",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "HttpPort": self.web_port,
            "DicomPort": self.dicom_port,
            "DicomAet": "ORTHANC",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowFind": True,
            "DicomModalities": self.modalities,
            "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "OverwriteInstances": True,
        }
        self.folder.mkdir(exist_ok=True)
        (self.folder / "orthanc.json").write_text(json.dumps(settings))
        log = (self.folder / "orthanc.log").open("ab")
        self.process = subprocess.Popen(["Orthanc", str(self.folder / "orthanc.json")], stdout=log, stderr=log)
        for _ in range(200):
            try:
                requests.get(f"http://127.0.0.1:{self.web_port}/system", timeout=5).raise_for_status()
                return
            except requests.RequestException:
                time.sleep(0.1)
        raise RuntimeError((self.folder / "orthanc.log").read_text()[-2000:])

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def instances(self) -> list[str]:
        import requests

        found: list[str] = requests.get(f"http://127.0.0.1:{self.web_port}/instances", timeout=10).json()
        return found

    def file(self, instance: str) -> bytes:
        import requests

        return bytes(requests.get(f"http://127.0.0.1:{self.web_port}/instances/{instance}/file", timeout=10).content)

    def upload(self, content: bytes) -> None:
        import requests

        requests.post(f"http://127.0.0.1:{self.web_port}/instances", data=content, timeout=10).raise_for_status()


def dcmtk_storescu() -> str | None:
    """DCMTK's program; pynetdicom brings one of the same name, which comes first in a virtual environment."""
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if (Path(folder) / "dcmdump").exists()]
    return shutil.which("storescu", path=os.pathsep.join(folders)) if folders else None


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    if shutil.which("Orthanc") is None:
        pytest.skip("Orthanc is not installed; on Debian: apt-get install orthanc orthanc-dicomweb")
    server = Orthanc(tmp_path / "orthanc")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    return unused_port()


@pytest.fixture
def storescu() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Function that sends files with DCMTK's storescu: ``storescu(port, files, aet="TESTER")``."""
    program = dcmtk_storescu()
    if program is None:
        pytest.skip("DCMTK is not installed; on Debian: apt-get install dcmtk")

    def send(port: int, files: list[Path], *more: str, aet: str = "TESTER", called: str = "MEDPIPE") -> Any:
        command = [program, "-v", "-aet", aet, "-aec", called, *more, "-R", "127.0.0.1", str(port), *map(str, files)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return send


@pytest.fixture
def study(write_dicom: Callable[..., Path], ramp: np.ndarray) -> list[Path]:
    """Three radiographs of one study, with a name that must not reach names of files."""
    from pydicom.uid import generate_uid

    uid = generate_uid(entropy_srcs=["study"])
    return [
        write_dicom(
            f"image{number}.dcm",
            ramp,
            StudyInstanceUID=uid,
            SeriesInstanceUID=f"{uid[:60]}.1",
            SOPInstanceUID=generate_uid(entropy_srcs=["instance", str(number)]),
            PatientName="Canary^Name",
            PatientID="CANARY-7",
        )
        for number in range(3)
    ]
