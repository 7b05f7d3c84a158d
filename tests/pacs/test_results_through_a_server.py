"""Results as clinical systems hold them: into a real server, back from it, the same."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from medpipe.io.series import index_files
from medpipe.pacs.fetch import Address, fetch
from medpipe.pacs.routes import Destination
from medpipe.pacs.send import send_instances
from medpipe.predictions.dicom_output.producer import Producer
from medpipe.predictions.dicom_output.write import write_dicom_results

SIZE = (20, 24, 6)


@pytest.fixture
def slices(write_dicom) -> list[Path]:
    """An oblique CT of six slices."""
    cosine, sine = np.cos(0.2), np.sin(0.2)
    across, down = np.array([cosine, sine, 0]), np.array([-sine, cosine, 0])
    paths = []
    for k in range(SIZE[2]):
        pixels = np.random.default_rng(k).integers(0, 2000, (SIZE[1], SIZE[0])).astype(np.int16)
        position = np.array([-10.0, 5, 30]) + 2.5 * k * np.cross(across, down)
        paths.append(
            write_dicom(
                f"study/{k}.dcm",
                pixels,
                SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
                Modality="CT",
                StudyInstanceUID="1.2.3.7",
                SeriesInstanceUID="1.2.3.7.1",
                FrameOfReferenceUID="1.2.3.7.2",
                PixelSpacing=[0.8, 0.7],
                SliceThickness=2.5,
                ImagePositionPatient=[f"{v:.10g}" for v in position],
                ImageOrientationPatient=[f"{v:.10g}" for v in (*across, *down)],
                RescaleSlope="1",
                RescaleIntercept="-1024",
                InstanceNumber=k + 1,
                StudyDate="20260101",
                StudyTime="120000",
                StudyID="1",
                SeriesNumber=1,
                AccessionNumber="",
                PatientBirthDate="",
                PatientSex="O",
                ReferringPhysicianName="",
                Manufacturer="medpipe tests",
                ManufacturerModelName="1",
                DeviceSerialNumber="1",
                SoftwareVersions="1",
            )
        )
    return paths


def places(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Voxel centres in RAS+ millimetres, in an order of their own."""
    points = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    return points[np.lexsort(points.round(2).T)]


@pytest.mark.parametrize("way", ["C-STORE", "STOW-RS"])
def test_a_segmentation_and_a_report_come_back_from_a_server_as_they_went(orthanc, slices, tmp_path, way) -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[4:9, 6:14, 1:4], mask[10:15, 3:9, 2:5] = 1, 2
    (series,) = index_files([str(path) for path in slices]).series
    (stack,) = series.stacks()
    producer = Producer("test_bundle", "1.0", datetime(2026, 1, 2), "ab" * 32)
    marks = [{"x": 6.0, "y": 9.0, "z": 2, "score": 0.75, "label": "lesion"}]
    out = tmp_path / "results"
    out.mkdir()
    written = write_dicom_results(
        [str(path) for path in slices],
        out,
        "sr,seg",
        producer,
        marks=marks,
        mask=mask,
        segments={1: "liver", 2: "spleen"},
        affine=stack.affine,
    )
    assert [path.name for path in written] == ["sr.dcm", "seg.dcm"]
    by_store = Destination("ORTHANC", "127.0.0.1", orthanc.dicom_port)
    send_instances([*slices, *written], by_store if way == "C-STORE" else Destination(stow=orthanc.dicomweb))
    address = f"dicomweb://127.0.0.1:{orthanc.web_port}/dicom-web?StudyInstanceUID=1.2.3.7"
    assert fetch(Address.parse(address), tmp_path / "back") == len(slices) + 2
    back = {pydicom.dcmread(path).Modality: path for path in (tmp_path / "back").rglob("*.dcm")}
    for kind, modality in (("seg", "SEG"), ("sr", "SR")):
        sent, got = pydicom.dcmread(out / f"{kind}.dcm"), pydicom.dcmread(back[modality])
        assert got == sent
    volume = hd.seg.segread(back["SEG"]).get_volume(combine_segments=True)
    found = np.asarray(volume.array)
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(volume.affine)
    for label in (1, 2):
        expected = places(mask == label, stack.affine)
        assert np.allclose(places(found == label, to_ras), expected, atol=1e-3)
    if dsrdump := shutil.which("dsrdump"):
        text = subprocess.run([dsrdump, str(back["SR"])], capture_output=True, text=True, check=True).stdout
        assert "0.75" in text
