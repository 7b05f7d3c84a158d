"""medpipe fetch"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medpipe.cli.common import JsonOption, say, show_json


def run(
    address: Annotated[
        str, typer.Argument(help="dicomweb://host:port/path?keyword=value, or dicom://AE@host:port?...")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the instances; may hold some already.")],
    ae_title: Annotated[
        str, typer.Option("--ae-title", help="Title under which this side calls (dicom://).")
    ] = "MEDPIPE",
    as_json: JsonOption = False,
) -> None:
    """Query a server and retrieve the studies that match, by DICOMweb (QIDO, WADO) or C-FIND and C-GET.

    Files are named by hashes, so that no name of a patient or study shows; the same command goes on where it was
    interrupted.

    Examples:

    [bold]medpipe fetch "dicomweb://127.0.0.1:8042/dicom-web?PatientID=7&ModalitiesInStudy=CT" -o study[/bold]

    [bold]medpipe fetch "dicom://ORTHANC@127.0.0.1:4242?StudyInstanceUID=1.2.3" -o study[/bold]
    """
    from medpipe.errors import CaseError, RequestError
    from medpipe.pacs.fetch import Address
    from medpipe.pacs.fetch import fetch as retrieve

    server = Address.parse(address)
    try:
        number = retrieve(server, output, ae_title)
    except CaseError as error:
        raise RequestError(str(error)) from error
    if as_json:
        show_json({"output": str(output), "instances": number})
    else:
        say(f"{number} instances in {output}")
