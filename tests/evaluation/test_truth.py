from __future__ import annotations

import pytest

from medpipe.errors import InputDataError
from medpipe.evaluation.localization import predictions_from_table
from medpipe.evaluation.truth import labels_from_table, truth_from_table


def test_truth_tables_of_volumes_give_spheres_and_boxes(tmp_path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(
        "case,x,y,z,radius,width,height,depth,slices,rows,columns,slice_mm,row_mm,column_mm\n"
        "a,1,2,3,4,,,,30,40,50,2.5,0.7,0.8\na,1,2,3,,5,6,7,,,,,,\nb,,,,,,,,,,,,,\n"
    )
    first, second = truth_from_table(path)
    assert first.lesions is not None
    assert [first.lesions[0].sphere, first.lesions[1].box] == [(1, 2, 3, 4), (1, 2, 3, 5, 6, 7)]
    assert (first.shape, first.spacing) == ((30, 40, 50), (2.5, 0.7, 0.8))
    assert (second.lesions, second.shape, second.spacing) == ([], None, None)
    assert first.groups == {}


def test_marks_of_volumes_have_a_slice_and_a_depth(tmp_path) -> None:
    path = tmp_path / "marks.csv"
    path.write_text(
        "case,x,y,z,score,box_x,box_y,box_z,box_width,box_height,box_depth\na,1,2,3,0.5,0,1,2,3,4,5\na,1,2,4,0.5,,,,,,\n"
    )
    (case,) = predictions_from_table(path)
    assert [(mark.x, mark.y, mark.z, mark.box) for mark in case.marks] == [
        *((1, 2, 3, (0, 1, 2, 3, 4, 5)), (1, 2, 4, None))
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,1,2,x,4,,,", "line 2, column 'z': 'x' must be a finite number"),
        ("a,1,2,3,,5,6,", "line 2, column 'depth': '' must be a finite number"),
        ("a,1,2,3,-4,,,", "line 2: a sphere is .* radius not negative"),
        ("a,,,3,,,,", "line 2, column 'x': '' must be a finite number"),
    ],
)
def test_wrong_volumes_name_the_line_and_the_column(tmp_path, row: str, message: str) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(f"case,x,y,z,radius,width,height,depth\n{row}\n")
    with pytest.raises(InputDataError, match=message):
        truth_from_table(path)


def test_a_box_without_width_names_its_line(tmp_path) -> None:
    path = tmp_path / "marks.csv"
    path.write_text("case,x,y,score,box_x,box_y,box_width,box_height\na,1,2,0.5,0,1,-2,3\n")
    with pytest.raises(InputDataError, match="line 2: a box is"):
        predictions_from_table(path)


def test_lines_are_counted_as_an_editor_does(tmp_path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text('case,label\n\n"a\nb",1\n\nc,x\n')
    with pytest.raises(InputDataError, match="line 6: label 'x' must be 0 or 1"):
        labels_from_table(path)


def test_a_mask_beyond_all_sizes_is_refused_before_it_is_made(tmp_path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("case,rle,rows,columns\na,1 2,10000000,10000000\n")
    with pytest.raises(InputDataError, match="line 2: an image of 10000000 rows"):
        truth_from_table(path)
