"""Pseudonyms, UIDs and date shifts from a secret key: the same in every file and run that uses the key.

All are HMAC-SHA256 of the original value (RFC 2104). Who has the key can test whether a name belongs to a pseudonym;
who has not cannot, not even by trying all patient numbers. Without the key no pseudonym can be made twice: keep it, and
never hand it on with the data.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import stat
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from medpipe.errors import RequestError

__all__ = ["Pseudonyms", "read_or_make_key"]

_KEY_BYTES = 32
_LONGEST_SHIFT_DAYS = 3650


def read_or_make_key(path: Path) -> tuple[bytes, bool]:
    """The key in a file of 64 hexadecimal digits, and whether it was made just now (readable by its owner only).

    Raises:
        RequestError: The file is no key, others may read it, or it cannot be read or made.
    """
    try:
        if not path.exists():
            return _make_key(path), True
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise RequestError(f"key file '{path}' may be read by others; run chmod 600 on it")
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"key file '{path}' cannot be used ({getattr(error, 'strerror', '') or error})") from error
    if not re.fullmatch(rf"[0-9a-f]{{{2 * _KEY_BYTES}}}", text):
        raise RequestError(f"'{path}' holds no key ({2 * _KEY_BYTES} hexadecimal digits expected); name another file")
    return bytes.fromhex(text), False


def _make_key(path: Path) -> bytes:
    key = secrets.token_bytes(_KEY_BYTES)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(key.hex() + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    return key


@dataclass(frozen=True)
class Pseudonyms:
    """Replacements by one key."""

    key: bytes

    def _digest(self, kind: str, value: str) -> bytes:
        return hmac.new(self.key, f"{kind}\0{value}".encode("utf-8", "surrogateescape"), hashlib.sha256).digest()

    def name(self, kind: str, value: str, length: int = 12) -> str:
        """A word of ``length`` letters and digits for a value; ``kind`` keeps unlike values apart."""
        return base64.b32encode(self._digest(kind, value)).decode("ascii")[:length]

    def uid(self, value: str) -> str:
        """A UID under the root 2.25 (PS3.5 annex B.2): an RFC 9562 version 8 UUID made of the digest."""
        number = int.from_bytes(self._digest("uid", value)[:16], "big")
        number = number & ~(0xF << 76) | 0x8 << 76
        number = number & ~(0x3 << 62) | 0x2 << 62
        return f"2.25.{number}"

    def shift_days(self, patient: str) -> int:
        """Days by which a patient's dates move: from -3650 to -1, the same for all of the patient's files."""
        return -1 - int.from_bytes(self._digest("shift", patient)[:8], "big") % _LONGEST_SHIFT_DAYS

    def shifted(self, text: str, days: int) -> str:
        """A DA or DT value (PS3.5 section 6.2) moved by whole days; "" where it holds no complete date."""
        match = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})([\d.+-]*)", text.strip())
        if match is None:
            return ""
        try:
            moved = date(int(match[1]), int(match[2]), int(match[3])) + timedelta(days)
        except (ValueError, OverflowError):
            return ""
        return f"{moved:%Y%m%d}".rjust(8, "0") + match[4]
