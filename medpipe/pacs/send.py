"""Sending instances: C-STORE (PS3.4 annex B) or STOW-RS (PS3.18 section 10.5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medpipe.errors import CaseFailedError
from medpipe.io.dicom_file import short
from medpipe.pacs.routes import Destination

__all__ = ["send_instances"]

_TIMEOUT = 60
_ACCEPTED = {0x0000, 0xB000, 0xB006, 0xB007}
"""Success, and the warnings with which an instance was stored all the same (PS3.4 table B.2-1)."""


def send_instances(files: Sequence[Path], destination: Destination, ae_title: str = "MEDPIPE") -> None:
    """Send DICOM files; when it returns, the destination has accepted every one.

    Args:
        files: DICOM files with preamble and meta header.
        destination: Where they go.
        ae_title: Title under which this node calls.

    Raises:
        CaseFailedError: The destination cannot be reached, or refuses an instance; sending all again does no harm.
    """
    if not files:
        return
    if destination.stow:
        _stow(files, destination)
    else:
        _c_store(files, destination, ae_title)


def _c_store(files: Sequence[Path], destination: Destination, ae_title: str) -> None:
    from pydicom import dcmread
    from pynetdicom import AE

    entity = AE(ae_title=ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT
    datasets = [dcmread(path) for path in files]
    for dataset in datasets:
        entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = entity.associate(destination.host, destination.port, ae_title=destination.ae_title)
    if not association.is_established:
        raise CaseFailedError(f"{destination} cannot be reached or refuses this node; it is tried again later")
    try:
        for path, dataset in zip(files, datasets, strict=True):
            try:
                status = association.send_c_store(dataset)
            except (ValueError, RuntimeError) as error:
                raise CaseFailedError(f"{destination} does not take {path.name} ({short(error)})") from error
            if status.get("Status") not in _ACCEPTED:
                code = f"status {status.Status:04X}h" if "Status" in status else "no answer"
                raise CaseFailedError(f"{destination} refused {path.name} ({code})")
    finally:
        if association.is_established:
            association.release()


def _stow(files: Sequence[Path], destination: Destination) -> None:
    import requests
    from dicomweb_client.api import DICOMwebClient
    from pydicom import dcmread

    client = DICOMwebClient(url=destination.stow)
    client.set_http_retry_params(retry=False)  # the node tries the whole study again, with longer pauses
    try:
        answer = client.store_instances([dcmread(path) for path in files])
    except requests.RequestException as error:
        raise CaseFailedError(f"{destination} cannot be reached or refuses ({short(error)})") from error
    failed = answer.get("FailedSOPSequence") or []
    if failed:
        raise CaseFailedError(f"{destination} refused {len(failed)} of {len(files)} instances")
