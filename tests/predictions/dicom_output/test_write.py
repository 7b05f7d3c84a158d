from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from PIL import Image

from medpipe.errors import CaseFailedError, RequestError
from medpipe.predictions.dicom_output import KINDS, write_dicom_results
from medpipe.predictions.dicom_output.write import check_kinds

MARKS = [
    {"label": "pneumothorax", "score": 0.873456, "x": 30.25, "y": 41.5},
    {
        "label": "pneumothorax",
        "score": 1 / 3,
        "x": 9.0,
        "y": 5.0,
        "box_x": 8,
        "box_y": 3,
        "box_width": 4,
        "box_height": 4.5,
    },
]
MASK = np.zeros((60, 90), np.uint8)
MASK[10:20, 30:50] = 1


@pytest.fixture
def written(radiograph, producer, tmp_path) -> Path:
    folder = tmp_path / "case"
    folder.mkdir()
    write_dicom_results(
        str(radiograph), folder, list(KINDS), producer, marks=MARKS, score=0.9, mask=MASK, segments={1: "pneumothorax"}
    )
    return folder


def dcmtk(command: str, *arguments: str) -> str:
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed (Debian: dcmtk, dicom3tools)")
    run = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


def test_all_objects_go_into_the_patients_study_as_new_series_that_refer_to_the_source(written) -> None:
    names = sorted(path.name for path in written.iterdir())
    assert names == sorted(f"{kind}.dcm" for kind in KINDS)
    objects = [pydicom.dcmread(written / name) for name in names]
    for made in objects:
        assert (made.PatientID, str(made.PatientName), made.PatientBirthDate) == ("ZQ-77", "Vogelsang^Anna", "19600312")
        assert (made.StudyInstanceUID, made.AccessionNumber, made.StudyDate) == ("1.2.999.1", "ACC9", "20240501")
        assert "1.2.999.4.1" in str(made)
        assert (made.ContentDate, made.ContentTime) == ("20260102", "030405")
        assert "not for clinical use" in made.SeriesDescription
    assert len({made.SeriesInstanceUID for made in objects} | {"1.2.999.2"}) == len(objects) + 1
    assert len({made.SOPInstanceUID for made in objects}) == len(objects)


def test_the_same_again_is_the_same_byte_by_byte_and_another_result_has_other_uids(
    written, radiograph, producer, tmp_path
) -> None:
    (tmp_path / "again").mkdir()
    arguments = {"marks": MARKS, "score": 0.9, "mask": MASK, "segments": {1: "pneumothorax"}}
    for path in write_dicom_results(str(radiograph), tmp_path / "again", "sr,pr,sc,seg", producer, **arguments):
        assert path.read_bytes() == (written / path.name).read_bytes()
    other = replace(producer, weights_sha256="cd" * 32)
    for path in write_dicom_results(str(radiograph), tmp_path / "again", "sr,pr,sc,seg", other, **arguments):
        assert pydicom.dcmread(path).SOPInstanceUID != pydicom.dcmread(written / path.name).SOPInstanceUID


def test_scores_and_places_of_the_marks_come_back_exactly(written) -> None:
    report = hd.sr.srread(written / "sr.dcm")
    assert isinstance(report, hd.sr.ComprehensiveSR)
    groups = report.content.get_planar_roi_measurement_groups()
    for group, mark in zip(groups, MARKS, strict=True):
        (measurement,) = group.get_measurements()
        assert measurement.value == mark["score"]
        assert group.finding_type.meaning == "Pneumothorax"
        assert group.tracking_identifier.startswith("pneumothorax mark")
    point, box = (np.asarray(group.roi.value) for group in groups)
    assert np.array_equal(point - 0.5, [[30.25, 41.5]])
    assert np.array_equal(box - 0.5, [[8, 3], [12, 3], [12, 7.5], [8, 7.5], [8, 3]])
    (whole,) = report.content.get_image_measurement_groups()
    assert whole.get_measurements()[0].value == 0.9


def test_the_observer_is_a_device_that_says_what_it_is_for(written, producer) -> None:
    items = {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.get("TextValue") or item.get("UID")
        for item in pydicom.dcmread(written / "sr.dcm").ContentSequence
        if "ConceptNameCodeSequence" in item
    }
    assert items["Device Observer Name"] == "cxr_pneumothorax_acm 0.1.0. Research use only. Not for clinical use."
    assert items["Device Observer UID"] == producer.observer_uid
    assert pydicom.dcmread(written / "sr.dcm").VerificationFlag == "UNVERIFIED"


def test_a_mask_of_a_radiograph_comes_back_exactly(written) -> None:
    segmentation = hd.seg.segread(written / "seg.dcm")
    pixels = segmentation.get_pixels_by_source_instance(["1.2.999.4.1"], combine_segments=True)
    assert np.array_equal(pixels[0], MASK)
    assert np.array_equal(pydicom.dcmread(written / "seg.dcm").pixel_array.reshape(60, 90), MASK)
    assert segmentation.get_segment_description(1).segment_label == "pneumothorax"


def test_the_picture_shows_rings_in_colour_at_the_marks(written) -> None:
    capture = pydicom.dcmread(written / "sc.dcm")
    pixels = capture.pixel_array
    assert pixels.shape == (60, 90, 3)
    coloured = (pixels.max(2).astype(int) - pixels.min(2)) > 60
    assert coloured[38:45, 27:34].any()
    assert not coloured[50:, 60:].any()
    assert (capture.BurnedInAnnotation, capture.Modality) == ("NO", "OT")
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.999.4.1"


def test_the_presentation_state_puts_rings_around_the_marks(written) -> None:
    state = pydicom.dcmread(written / "pr.dcm")
    (annotation,) = state.GraphicAnnotationSequence
    centres = [item.GraphicData[:2] for item in annotation.GraphicObjectSequence]
    assert centres == [[31.25, 42.5], [10.0, 6.0]]  # presentation states count pixels from 1
    assert [t.UnformattedTextValue for t in annotation.TextObjectSequence][:2] == [
        "pneumothorax 0.87",
        "pneumothorax 0.33",
    ]


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (89.5, 59.5), (88.0, 3.0), (5.0, 58.0)])
def test_a_mark_at_the_edge_is_marked_as_well(radiograph, producer, tmp_path, x, y) -> None:
    mark = {"label": "pneumothorax", "score": 0.5, "x": x, "y": y}
    write_dicom_results(str(radiograph), tmp_path, "pr", producer, marks=[mark])
    (annotation,) = pydicom.dcmread(tmp_path / "pr.dcm").GraphicAnnotationSequence
    column, row, onward, _ = annotation.GraphicObjectSequence[0].GraphicData
    assert (column, row) == (min(x + 1, 90), min(y + 1, 60))
    assert abs(onward - column) == pytest.approx(90 / 28)
    assert 0 <= onward <= 90


def test_dcmtk_reads_every_object(written) -> None:
    text = dcmtk("dsrdump", str(written / "sr.dcm"))
    assert '"0.873456" (1,UCUM,"no units")' in text
    assert "(POINT,30.75/42)" in text
    for path in written.iterdir():
        assert "1.2.999.1" in dcmtk("dcmdump", str(path))
        assert "0020000D" in dcmtk("dcm2json", str(path))


def test_a_validator_finds_no_error_of_ours(written) -> None:
    for path in sorted(written.iterdir()):
        if shutil.which("dciodvfy") is None:
            pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
        run = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in run.stderr.splitlines() if line.startswith("Error") and "Laterality" not in line]
        assert errors == [], path.name


@pytest.mark.parametrize("marks", [[], MARKS[:1]])
def test_an_image_without_marks_has_a_report_too(radiograph, producer, tmp_path, marks) -> None:
    for path in write_dicom_results(str(radiograph), tmp_path, "sr,pr,sc", producer, marks=marks, score=None):
        pydicom.dcmread(path)
    report = hd.sr.srread(tmp_path / "sr.dcm")
    assert len(report.content.get_planar_roi_measurement_groups()) == len(marks)


def test_names_of_patients_reach_no_log_and_no_error(radiograph, producer, tmp_path, caplog, capfd, recwarn) -> None:
    dataset = pydicom.dcmread(radiograph)
    dataset.PatientName = "Vogelsang"  # highdicom warns of a name of one component, and quotes it
    dataset.save_as(radiograph)
    write_dicom_results(str(radiograph), tmp_path, "sr,pr,sc", producer, marks=MARKS)
    del dataset.Rows
    dataset.save_as(radiograph)
    with pytest.raises(CaseFailedError) as caught:
        write_dicom_results(str(radiograph), tmp_path, "pr", producer, marks=MARKS)
    shown = capfd.readouterr()
    texts = [shown.out, shown.err, caplog.text, str(caught.value), *(str(warning.message) for warning in recwarn)]
    assert not [text for text in texts if re.search("Vogelsang|ZQ-77", text)]
    assert caught.value.__suppress_context__


def test_a_picture_that_is_no_dicom_has_no_study(tmp_path, producer) -> None:
    Image.fromarray(np.zeros((70, 70), np.uint8)).save(tmp_path / "x.png")
    assert write_dicom_results(str(tmp_path / "x.png"), tmp_path, "sr", producer) == []


def test_a_file_without_a_study_is_refused_by_name(radiograph, producer, tmp_path) -> None:
    dataset = pydicom.dcmread(radiograph)
    del dataset.StudyInstanceUID
    dataset.save_as(radiograph)
    with pytest.raises(CaseFailedError, match="lacks StudyInstanceUID"):
        write_dicom_results(str(radiograph), tmp_path, "sr", producer)


def test_kinds_are_read_from_a_text_and_checked() -> None:
    assert check_kinds("sr, sc,sr") == ("sr", "sc")
    assert check_kinds("") == ()
    with pytest.raises(RequestError, match="'gsps' is unknown; there are sr, pr, sc, seg"):
        check_kinds("gsps")


def test_a_segmentation_needs_a_mask(radiograph, producer, tmp_path) -> None:
    with pytest.raises(RequestError, match="needs a mask"):
        write_dicom_results(str(radiograph), tmp_path, "seg", producer)


@pytest.mark.shared_data
def test_real_radiographs_get_objects_that_dcmtk_reads(shared_data, producer, tmp_path) -> None:
    for number, source in enumerate(sorted((shared_data / "cxr" / "dicom").glob("*.dcm"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_dicom_results(
            str(source), folder, "sr,pr,sc", replace(producer, created=datetime(2026, 5, 6)), marks=MARKS
        )
        assert hd.sr.srread(folder / "sr.dcm").StudyInstanceUID == pydicom.dcmread(source).StudyInstanceUID
        assert "Certainty of Finding" in dcmtk("dsrdump", str(folder / "sr.dcm"))
