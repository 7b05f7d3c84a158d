from __future__ import annotations

import highdicom as hd
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.errors import RequestError
from medpipe.predictions.dicom_output import write_dicom_results
from medpipe.predictions.dicom_output.producer import new_uid
from medpipe.predictions.dicom_output.structured_report import finding_code

OBLIQUE = np.array([[0.6, 0.8, 0.0], [0.0, 0.0, -1.0], [-0.8, 0.6, 0.0]])


def test_marks_of_a_series_are_points_in_the_patient(write_ct, producer, tmp_path) -> None:
    paths = [str(path) for path in write_ct(OBLIQUE, order=[4, 2, 0, 1, 3])]
    marks = [
        {"label": "nodule", "score": 0.7, "x": 3.0, "y": 2.0, "z": 1.0},
        {"label": "nodule", "score": 0.1, "x": 0.0, "y": 0.0, "z": 2.5},
    ]
    write_dicom_results(paths, tmp_path, "sr", producer, marks=marks)
    report = hd.sr.srread(tmp_path / "sr.dcm")
    assert isinstance(report, hd.sr.Comprehensive3DSR)
    groups = report.content.get_planar_roi_measurement_groups()
    origin = np.array([-100.5, 20.25, 310.125])
    for group, mark in zip(groups, marks, strict=True):
        expected = origin + OBLIQUE.T @ (np.array([0.5, 0.75, 2.5]) * [mark["x"], mark["y"], mark["z"]])
        assert np.abs(np.asarray(group.roi.value)[0] - expected).max() <= 1e-4
        assert group.roi.frame_of_reference_uid == "1.2.999.3"
        assert group.get_measurements()[0].value == mark["score"]
    references = pydicom.dcmread(tmp_path / "sr.dcm").CurrentRequestedProcedureEvidenceSequence
    assert len(references[0].ReferencedSeriesSequence[0].ReferencedSOPSequence) == 5


def test_a_mark_outside_the_series_is_refused(write_ct, producer, tmp_path) -> None:
    paths = [str(path) for path in write_ct(OBLIQUE)]
    with pytest.raises(RequestError, match="lies in slice 5, but the series has 5 slices"):
        write_dicom_results(paths, tmp_path, "sr", producer, marks=[{"label": "a", "score": 1, "x": 1, "y": 1, "z": 5}])


def test_the_frame_that_was_read_is_named(radiograph, producer, tmp_path) -> None:
    mark = {"label": "nodule", "score": 0.5, "x": 1, "y": 1}
    write_dicom_results(f"{radiograph}#frame=2", tmp_path, "sr", producer, marks=[mark])
    (group,) = hd.sr.srread(tmp_path / "sr.dcm").content.get_planar_roi_measurement_groups()
    item = next(i for i in group.roi.ContentSequence if i.ValueType == "IMAGE")
    assert item.ReferencedSOPSequence[0].ReferencedFrameNumber == 3


@pytest.mark.parametrize(
    ("label", "value", "scheme"),
    [
        ("pneumothorax", "36118008", "SCT"),
        ("Nodule", "27925004", "SCT"),
        ("ring shadow", "ring_shadow", "99MEDPIPE"),
        ("", "finding", "99MEDPIPE"),
    ],
)
def test_findings_have_snomed_codes_where_the_standard_lists_them(label, value, scheme) -> None:
    code = finding_code(label)
    assert (code.value, code.scheme_designator) == (value, scheme)


@given(st.lists(st.one_of(st.text(), st.integers(), st.floats(allow_nan=False)), max_size=4))
def test_a_uid_follows_from_its_parts(parts) -> None:
    assert pydicom.uid.UID(new_uid(*parts)).is_valid
    assert new_uid(*parts) == new_uid(*parts) != new_uid(*parts, "more")
