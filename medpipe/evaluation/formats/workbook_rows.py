"""Sheets of an Excel workbook as rows with checked cells; every fault names sheet, row and column."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError

__all__ = ["Row", "Sheet", "read_sheets"]

_LARGEST_FILE = 64 << 20
_LARGEST_CONTENT = 256 << 20
_MOST_ROWS, _MOST_COLUMNS = 1 << 20, 64  # rows: what Excel can hold


@dataclass(frozen=True)
class Row:
    """One row of a sheet.

    Attributes:
        where: File, sheet and row, which open messages.
        headers: Headers as they are written, by key.
        cells: Values by key.
    """

    where: str
    headers: dict[str, str]
    cells: dict[str, Any]

    def place(self, key: str) -> str:
        """File, sheet, row and column."""
        return f"{self.where}, column {self.headers[key]}"

    def is_blank(self, key: str) -> bool:
        """Whether the cell holds nothing but blanks."""
        cell = self.cells[key]
        return cell is None or (isinstance(cell, str) and not cell.strip())

    def name(self, key: str) -> str:
        """A name; the number 1 is the name "1".

        Raises:
            InputDataError: The cell is empty, or not printable.
        """
        value = self._filled(key)
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
        if not text.isprintable():
            raise InputDataError(f"{self.place(key)}: {ascii(text)[:60]} is no name")
        return text

    def number(self, key: str) -> float:
        """A finite number, also one that is stored as text.

        Raises:
            InputDataError: The cell is empty, or holds something else.
        """
        value = self._filled(key)
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise InputDataError(f"{self.place(key)}: {ascii(str(value))[:60]} must be a finite number")
        return number

    def whole(self, key: str) -> int:
        """A whole number.

        Raises:
            InputDataError: The cell is empty, or holds something else.
        """
        number = self.number(key)
        if not number.is_integer() or abs(number) > 2**53:
            raise InputDataError(f"{self.place(key)}: {number:g} must be a whole number")
        return int(number)

    def _filled(self, key: str) -> Any:
        if self.is_blank(key):
            raise InputDataError(f"{self.place(key)}: empty; fill it, or delete the row")
        return self.cells[key]


@dataclass(frozen=True)
class Sheet:
    """A sheet with a header row.

    Attributes:
        where: File and sheet, which open messages.
        table: All rows, equally long, the header first.
    """

    where: str
    table: Sequence[tuple[Any, ...]]

    def titles(self) -> list[str]:
        """Headers in small letters, without blanks and other signs; empty for columns without one."""
        header = self.table[0] if self.table else ()
        return [
            "".join(letter for letter in cell.lower() if letter.isalnum()) if isinstance(cell, str) else ""
            for cell in header
        ]

    def rows(self, columns: dict[str, Sequence[str]], optional: Sequence[str] = ()) -> list[Row]:
        """The rows that are filled in any of the columns, under names of our own; further columns are left out.

        Args:
            columns: For each name the headers that it may have, as :meth:`titles` gives them.
            optional: Names of columns that may be missing, and then are None in every row.

        Raises:
            InputDataError: A column is missing or stands twice.
        """
        places = {name: self._place(name, wanted, name in optional) for name, wanted in columns.items()}
        header = self.table[0]
        headers = {name: name if place is None else str(header[place]).strip() for name, place in places.items()}
        rows = []
        for number, cells in enumerate(self.table[1:], start=2):
            if cells.count(None) == len(cells):
                continue
            values = {name: None if place is None else cells[place] for name, place in places.items()}
            row = Row(f"{self.where}, row {number}", headers, values)
            if not all(row.is_blank(name) for name in columns):
                rows.append(row)
        return rows

    def _place(self, name: str, wanted: Sequence[str], optional: bool) -> int | None:
        places = [index for index, title in enumerate(self.titles()) if title in wanted]
        if len(places) > 1 or not (places or optional):
            cells = self.table[0] if self.table else ()
            found = ", ".join(ascii(str(cell))[1:-1][:40] for cell in cells if cell is not None)
            raise InputDataError(
                f"{self.where}, row 1: {len(places)} columns {name}, expected one; found {found or 'nothing'}"
            )
        return places[0] if places else None

    def check_no_gap(self, rows: Sequence[Row]) -> None:
        """Raise InputDataError when a blank row stands between filled ones: something may have been deleted."""
        for number, row in enumerate(rows, start=2):
            expected = f"{self.where}, row {number}"
            if row.where != expected:
                raise InputDataError(f"{expected}: blank, but rows with data follow; fill or delete it")


def read_sheets(path: Path) -> dict[str, Sheet]:
    """All sheets of a workbook by their titles. Formulas are not evaluated: the values stored with them are read.

    Raises:
        InputDataError: The file is missing, too large (64 MiB, or 256 MiB unpacked), or no .xlsx file.
    """
    import openpyxl

    _check_size(path)
    try:
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")  # about extensions of Excel that hold no data
            book = openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)
            sheets = {}
            for sheet in book.worksheets:
                sheet.reset_dimensions()  # some programs state them wrongly, which would cut rows off
                rows = sheet.iter_rows(max_row=_MOST_ROWS, max_col=_MOST_COLUMNS, values_only=True)
                sheets[sheet.title] = Sheet(f"workbook '{path}', sheet {sheet.title}", list(rows))
            return sheets
    except Exception as error:  # whatever a foreign file makes the library stumble over
        raise InputDataError(f"workbook '{path}' cannot be read as an Excel file ({_short(error)})") from error


def _check_size(path: Path) -> None:
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except FileNotFoundError as error:
        raise InputDataError(f"workbook '{path}' does not exist") from error
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InputDataError(
            f"workbook '{path}' is no .xlsx file ({_short(error)}); save it as 'Excel workbook (.xlsx)'"
        ) from error
    if size > _LARGEST_FILE or unpacked > _LARGEST_CONTENT:
        raise InputDataError(
            f"workbook '{path}' has {size} bytes, unpacked {unpacked};"
            f" expected at most {_LARGEST_FILE} and {_LARGEST_CONTENT}"
        )


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
