"""Makes medpipe/io/deidentify/actions.json: Table E.1-1 of DICOM PS3.15 as data.

The column of the Basic Profile is edition 2026c as `dicom-anonymizer` carries it. No library carries the columns of the
options for that edition. They come from the `dicom-standard` JSON of Innolitics, an older edition of 460 attributes (the
Python package `mede` 0.0.12 has a copy), and for younger attributes from the table's own pattern, which all older rows
obey: "Retain UIDs" keeps attributes of VR UI, "Modified Dates" cleans those of VR DA, DT and TM. Younger descriptors are
listed here. An attribute without an option's code keeps its basic action, which removes more, never less.

    pip install dicom-anonymizer==2.1.0
    python scripts/deidentification_table.py confidentiality_profile_attributes.json
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path

from pydicom.datadict import dictionary_description, dictionary_VR

EDITION = "2026c"
TARGET = Path(__file__).parent.parent / "medpipe" / "io" / "deidentify" / "actions.json"
NO_OPTION = {"00100030", "00100032", "00160077", "04000100", "0040a124"}
"""Of a date's or a UID's VR, but without an option: birth date and time, GPS time; signature UID, UID in a content item."""
DATES_OF_OTHER_VR = {"00080201", "00340007", "04000310"}
KEPT_REFERENCES = {"00081110", "00081111", "00081120", "00081140", "00082112"}
YOUNGER_DESCRIPTORS = {
    "00081088",
    "00200027",
    "003a0329",
    "003a032b",
    "006a0005",
    "006a0006",
    "00720066",
    "00720068",
    "0072006c",
    "0072006e",
    "00720070",
    "04000565",
    "30020121",
    "30020123",
    "300a000b",
    "300a078e",
    "300a0792",
    "300a0794",
    "300a079a",
}


def basic_profile() -> dict[str, str]:
    """Tag (eight hexadecimal digits; x for repeating groups) -> action code."""
    module = importlib.import_module(f"dicomanonymizer.dicom_anonymization_databases.dicomfields_{EDITION}")
    actions = {}
    for name in dir(module):
        if name.endswith("_TAGS") and name != "ALL_TAGS":
            code = name.removesuffix("_TAGS").replace("_STAR", "*").replace("_", "/")
            actions.update({tag_text(tag): code for tag in getattr(module, name)})
    return actions


def tag_text(tag: tuple[int, ...]) -> str:
    if len(tag) == 2:
        return f"{tag[0]:04x}{tag[1]:04x}"
    return "50xxxxxx" if tag[0] == 0x5000 else f"60xx{tag[1]:04x}"


def facts(tag: str) -> tuple[str, str]:
    try:
        return dictionary_VR(int(tag, 16)), dictionary_description(int(tag, 16))
    except (KeyError, ValueError):
        return "", ""


def row(tag: str, basic: str, older: dict[str, dict[str, str]]) -> dict[str, str]:
    vr, name = facts(tag)
    options = older.get(tag, {})
    found = {"tag": tag, "name": name, "basic": basic}
    if options.get("rtnUIDsOpt") or (vr == "UI" and tag not in NO_OPTION) or tag in KEPT_REFERENCES:
        found["retain_uids"] = "K"
    if (
        options.get("rtnLongModifDatesOpt")
        or (vr in ("DA", "DT", "TM") and tag not in NO_OPTION)
        or tag in DATES_OF_OTHER_VR
    ):
        found["modified_dates"] = "C"
    if options.get("cleanDescOpt") or tag in YOUNGER_DESCRIPTORS:
        found["clean_descriptors"] = "C"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("older", type=Path, help="confidentiality_profile_attributes.json of dicom-standard")
    older = {entry["id"]: entry for entry in json.loads(parser.parse_args().older.read_text())}
    rows = [row(tag, code, older) for tag, code in sorted(basic_profile().items())]
    head = {
        "table": "DICOM PS3.15 Table E.1-1, Application Level Confidentiality Profile Attributes",
        "edition": EDITION,
        "made_by": "scripts/deidentification_table.py",
    }
    lines = ",\n".join(json.dumps(entry) for entry in rows)
    text = json.dumps(head, indent=1)[:-2] + f',\n "rows": [\n{lines}\n]}}\n'
    json.loads(text)
    TARGET.write_text(text, encoding="utf-8")
    print(f"{len(rows)} attributes -> {TARGET}")


if __name__ == "__main__":
    main()
