"""Query and retrieve: studies from a server into a folder, by DICOMweb or by DICOM's own protocol.

    dicomweb://host:port/dicom-web?PatientID=7&Modality=CT      QIDO-RS and WADO-RS (PS3.18); dicomwebs:// for https
    dicom://CALLED@host:port?StudyInstanceUID=1.2.3             C-FIND and C-GET (PS3.4 annex C)

What is asked for stands after the question mark, as DICOM keywords of the study; * and ? match any text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from medpipe.errors import CaseFailedError, RequestError
from medpipe.io.atomic import atomic_writer
from medpipe.io.dicom_file import short
from medpipe.pacs.routes import ae_title_of
from medpipe.pacs.spool import file_key

__all__ = ["Address", "fetch", "is_address"]

_SCHEMES = ("dicomweb", "dicomwebs", "dicom")
_TIMEOUT = 60


@dataclass(frozen=True)
class Address:
    """A server and what is asked of it.

    Attributes:
        scheme: "dicomweb", "dicomwebs" or "dicom".
        host, port: of the server.
        path: of the DICOMweb service.
        ae_title: called application entity title, of "dicom".
        query: DICOM keywords and the values to match.
    """

    scheme: str
    host: str
    port: int
    path: str
    ae_title: str
    query: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read the address.

        Raises:
            RequestError: It is no such address, asks for nothing, or names an unknown keyword.
        """
        from pydicom.datadict import tag_for_keyword

        parts = urlsplit(text)
        if parts.password is not None or (parts.username and parts.scheme != "dicom"):
            raise RequestError(
                f"address '{_without_query(text)}' holds a user or password, which would show in the list of processes; "
                "leave it out, and put it into ~/.netrc"
            )
        try:
            port = parts.port or {"dicomwebs": 443, "dicomweb": 80}.get(parts.scheme, 104)
        except ValueError as error:
            raise RequestError(f"address '{_without_query(text)}': {error}") from error
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise RequestError(
                f"address '{_without_query(text)}': expected {', '.join(s + '://' for s in _SCHEMES)} and a host"
            )
        if parts.scheme == "dicom" and not parts.username:
            raise RequestError(f"address '{_without_query(text)}': expected dicom://CALLED_AE_TITLE@host:port")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        for keyword in query:
            if tag_for_keyword(keyword) is None:
                raise RequestError(f"'{keyword}' is no DICOM keyword, such as StudyInstanceUID, PatientID or StudyDate")
        if not any(value.strip("*") for value in query.values()):
            raise RequestError(
                "the address asks for nothing; add ?StudyInstanceUID=... or another keyword with a value"
            )
        title = ae_title_of(unquote(parts.username or "")) if parts.scheme == "dicom" else ""
        return cls(parts.scheme, parts.hostname, port, parts.path, title, query)

    @property
    def url(self) -> str:
        """The DICOMweb service's address."""
        return f"{'https' if self.scheme == 'dicomwebs' else 'http'}://{self.host}:{self.port}{self.path}"


def is_address(text: str) -> bool:
    """Whether a text is an address of a server rather than a path."""
    return text.split("://", 1)[0] in _SCHEMES and "://" in text


def fetch(address: Address, folder: Path, ae_title: str = "MEDPIPE") -> int:
    """Retrieve all instances of the studies that match; those that are in the folder already are not written again.

    Args:
        address: Server and query.
        folder: Where <study>/<instance>.dcm go, named by hashes; made where it is missing.
        ae_title: Title under which this side calls, for "dicom".

    Returns:
        The number of instances that match.

    Raises:
        CaseFailedError: The server cannot be reached, refuses, or has no such study.
    """
    ae_title_of(ae_title)
    number = 0

    def keep(dataset: Any) -> None:
        nonlocal number
        _write(dataset, folder)
        number += 1

    if address.scheme == "dicom":
        _from_dicom(address, ae_title, keep)
    else:
        _from_web(address, keep)
    if not number:
        raise CaseFailedError(f"{address.host}:{address.port} has no study that matches; check the query")
    return number


def _write(dataset: Any, folder: Path) -> None:
    try:
        path = folder / file_key(str(dataset.StudyInstanceUID)) / f"{file_key(str(dataset.SOPInstanceUID))}.dcm"
        if path.exists():
            return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # patients' data, whatever the results may be
        path.parent.mkdir(exist_ok=True)
        with atomic_writer(path) as stream:
            dataset.save_as(stream, enforce_file_format=True)
    except OSError as error:
        raise CaseFailedError(f"folder '{folder}' cannot be written ({error.strerror or error})") from error
    except Exception as error:  # what a server sends may be damaged in any way
        raise CaseFailedError(f"the server sent an instance that is damaged ({type(error).__name__})") from error


def _from_web(address: Address, keep: Callable[[Any], None]) -> None:
    import requests
    from dicomweb_client.api import DICOMwebClient

    client = DICOMwebClient(url=address.url)
    client.set_http_retry_params(retry=False)
    try:
        for study in client.search_for_studies(search_filters=address.query):
            uid = study["0020000D"]["Value"][0]
            for dataset in client.iter_study(uid, media_types=(("application/dicom", "*"),)):
                keep(dataset)
    except (requests.RequestException, LookupError, ValueError, TypeError) as error:
        raise CaseFailedError(f"{address.host}:{address.port}: {_without_query(short(error))}") from error


def _from_dicom(address: Address, ae_title: str, keep: Callable[[Any], None]) -> None:
    for uid in _find(address, ae_title):
        _get(address, ae_title, uid, keep)


def _find(address: Address, ae_title: str) -> list[str]:
    from pydicom.dataset import Dataset
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find

    wanted = Dataset()
    wanted.QueryRetrieveLevel = "STUDY"
    wanted.StudyInstanceUID = ""
    for keyword, value in address.query.items():
        setattr(wanted, keyword, value)
    association = _associate(address, ae_title, [Find])
    try:
        found = [answer for status, answer in association.send_c_find(wanted, Find) if _pending(address, status)]
    finally:
        association.release()
    return sorted({str(answer.StudyInstanceUID) for answer in found if answer is not None})


def _get(address: Address, ae_title: str, study_uid: str, keep: Callable[[Any], None]) -> None:
    """Retrieve a study, each instance as it comes.

    Raises:
        CaseFailedError: The server could not send every instance.
    """
    from pydicom.dataset import Dataset
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet as Get

    faults: list[CaseFailedError] = []

    def store(event: Any) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        try:
            keep(dataset)
        except CaseFailedError as error:  # it must not end the thread that it happens in
            faults.append(error)
            return 0xA700
        return 0x0000

    wanted = Dataset()
    wanted.QueryRetrieveLevel = "STUDY"
    wanted.StudyInstanceUID = study_uid
    association = _associate(address, ae_title, [Get], store)
    try:
        for status, _ in association.send_c_get(wanted, Get):
            if not _pending(address, status) and (lost := status.get("NumberOfFailedSuboperations")):
                raise (
                    faults[0]
                    if faults
                    else CaseFailedError(
                        f"{address.ae_title}@{address.host}:{address.port} could not send {lost} instances of a study; "
                        "fetch it by DICOMweb, or ask for a kind of compression that both sides know"
                    )
                )
    finally:
        association.release()


def _associate(address: Address, ae_title: str, models: list[str], store: Any = None) -> Any:
    from pynetdicom import AE, StoragePresentationContexts, build_role, evt

    entity = AE(ae_title=ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT
    for model in models:
        entity.add_requested_context(model)
    roles = []
    if store is not None:
        for context in StoragePresentationContexts[: 128 - len(models)]:
            entity.add_requested_context(context.abstract_syntax, _SYNTAXES)
            roles.append(build_role(context.abstract_syntax, scp_role=True))
    handlers = [(evt.EVT_C_STORE, store)] if store is not None else []
    association = entity.associate(
        address.host, address.port, ae_title=address.ae_title, ext_neg=roles, evt_handlers=handlers
    )
    if not association.is_established:
        raise CaseFailedError(
            f"{address.ae_title}@{address.host}:{address.port} cannot be reached or refuses this side"
        )
    return association


_SYNTAXES = [
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
]
"""Transfer syntaxes in which instances are taken: little endian, JPEG, JPEG-LS, JPEG 2000, RLE."""


def _pending(address: Address, status: Any) -> bool:
    """Whether an answer carries a match; the last one carries none.

    Raises:
        CaseFailedError: The server refused or broke off.
    """
    code = status.get("Status") if status else None
    if code in (0xFF00, 0xFF01):
        return True
    if code in (0x0000, 0xB000):
        return False
    shown = "broke the connection off" if code is None else f"refused (status {code:04X}h)"
    raise CaseFailedError(f"{address.ae_title}@{address.host}:{address.port} {shown}")


def _without_query(text: str) -> str:
    """The address without what is asked for, which may name a patient, and without a password."""
    return re.sub(r"//[^/]*@", "//***@", text.split("?", 1)[0])
