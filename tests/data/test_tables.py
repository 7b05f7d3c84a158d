from pathlib import Path

import pytest

from medpipe.data.tables import read_columns, read_lines
from medpipe.errors import InputDataError


def table(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_columns_are_found_by_name_in_any_order_with_blanks_stripped(tmp_path: Path) -> None:
    path = table(tmp_path, " b ,x, a\n 1 ,9, 2\n3,9,4\n")
    assert read_columns(path, ["a", "b"]) == [("2", "1"), ("4", "3")]


def test_quotes_empty_lines_and_windows_line_ends_are_understood(tmp_path: Path) -> None:
    path = table(tmp_path, 'a,b\r\n"1, 2",3\r\n\r\n,\r\n')
    assert read_columns(path, ["a", "b"]) == [("1, 2", "3")]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert read_columns(table(tmp_path, "a,b\n1,2\n", "utf-8-sig"), ["a"]) == [("1",)]


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="no column 'c'; found a, b"):
        read_columns(table(tmp_path, "a,b,\n1,2,\n"), ["a", "c"])


def test_a_row_that_is_too_short_is_shown(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="'1' has 1 values for 2 columns"):
        read_columns(table(tmp_path, "a,b\n1\n"), ["b"])


def test_an_empty_table_and_an_absent_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="is empty"):
        read_lines(table(tmp_path, "\n \n"))
    with pytest.raises(InputDataError, match=r"absent\.csv"):
        read_lines(tmp_path / "absent.csv")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"a,b\n\xff\xfe,2\n")
    with pytest.raises(InputDataError, match="not readable"):
        read_lines(path)
