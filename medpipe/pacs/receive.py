"""Receiving instances: a storage service class provider (PS3.4 annex B) with verification (C-ECHO).

The node speaks DICOM's unencrypted protocol and should be reached by trusted systems alone: it listens on the loopback
interface unless told otherwise, and beyond that only admits the application entities it was told.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medpipe.errors import CaseError, RequestError
from medpipe.io.dicom_file import check_deflated
from medpipe.pacs.routes import ae_title_of
from medpipe.pacs.spool import Spool

__all__ = ["Receiver"]

_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND, _DUPLICATE = 0x0000, 0xA700, 0xC000, 0x0111
_ROOM_TO_KEEP = 1 << 30
"""Bytes that must stay free on the disk; below that the sender is told to try later."""

_TAGS = ["StudyInstanceUID", "SOPInstanceUID", "SOPClassUID"]


class Receiver:
    """Listens and puts what comes into the spool.

    Args:
        spool: Where instances go.
        ae_title: Title of this node, 1 to 16 characters.
        host: Address to listen on.
        port: TCP port; 0 for any free one.
        allow: Application entity titles that may send; empty admits all, which is only accepted on the loopback interface.

    Raises:
        RequestError: The title is impossible, or all senders would be admitted beyond the loopback interface.
    """

    def __init__(
        self, spool: Spool, ae_title: str, host: str = "127.0.0.1", port: int = 11112, allow: Sequence[str] = ()
    ) -> None:
        ae_title, allow = ae_title_of(ae_title), [ae_title_of(title) for title in allow]
        if not allow and not _is_loopback(host):
            raise RequestError(
                f"listening on {host} without 'allow' would admit any sender; list the application entity titles to admit"
            )
        self.spool, self.ae_title, self.host, self.port, self.allow = spool, ae_title, host, port, list(allow)
        self._server: Any = None

    def start(self) -> int:
        """Begin to listen, in threads of its own.

        Returns:
            The port.

        Raises:
            RequestError: The address cannot be used.
        """
        from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, _config, evt
        from pynetdicom.sop_class import Verification

        _config.STORE_RECV_CHUNKED_DATASET = True  # to disk as it comes: a large instance never stands in memory whole
        entity = AE(ae_title=self.ae_title)
        entity.maximum_pdu_size = 1 << 17
        entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = 60
        entity.require_called_aet = True
        entity.require_calling_aet = self.allow
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
        entity.add_supported_context(Verification)
        try:
            self._server = entity.start_server(
                (self.host, self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._stored)]
            )
        except OSError as error:
            raise RequestError(f"cannot listen on {self.host}:{self.port} ({error.strerror or error})") from error
        self.port = int(self._server.server_address[1])
        return self.port

    def stop(self) -> None:
        """Stop listening; associations that are open are cut."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _stored(self, event: Any) -> int:
        """Answer one C-STORE request with its status (PS3.4 table B.2-1)."""
        from pydicom import dcmread

        path = Path(event.dataset_path)
        if self.spool.room() < path.stat().st_size + _ROOM_TO_KEEP:
            return _OUT_OF_RESOURCES
        try:
            with path.open("rb") as stream:
                check_deflated(stream)
            header = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
            study, instance = (str(header.get(tag) or "") for tag in _TAGS[:2])
        except Exception:  # damaged headers raise anything; the sender is told, the node goes on
            return _CANNOT_UNDERSTAND
        if not study or not instance or instance != str(event.request.AffectedSOPInstanceUID):
            return _CANNOT_UNDERSTAND
        try:
            incoming = self._moved_beside(path)
            self.spool.store(incoming, study, instance, str(event.assoc.requestor.ae_title).strip())
        except CaseError:
            return _DUPLICATE
        except OSError:
            return _OUT_OF_RESOURCES
        return _SUCCESS

    def _moved_beside(self, path: Path) -> Path:
        """The file on the spool's own disk, where taking it over is one step; pynetdicom deletes its own later."""
        import shutil
        import uuid

        target = self.spool.incoming / f"{uuid.uuid4().hex}.part"
        shutil.copyfile(path, target)
        return target


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(socket.gethostbyname(host)).is_loopback
    except (OSError, ValueError):
        return False
