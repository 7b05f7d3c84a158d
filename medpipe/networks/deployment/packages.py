"""Optional packages, with an error that names the extra to install."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from medpipe.errors import RequestError

__all__ = ["require_packages"]


def require_packages(names: Sequence[str], extra: str) -> None:
    """Refuse where a package is not installed.

    Raises:
        RequestError: The message names the packages and the extra.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise RequestError(f"{' and '.join(missing)} not installed: pip install 'medpipe[{extra}]'")
