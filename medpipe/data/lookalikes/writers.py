"""The list of look-alikes: one function per layout, all of one shape."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

from medpipe.errors import RequestError

from ..names import nearest_names

__all__ = ["LOOKALIKES", "LookalikeWriter", "lookalike_writer"]

LOOKALIKES: dict[str, str] = {
    "demo_study": "medpipe.data.lookalikes.study:write_demo_study",
    "jsrt": "medpipe.data.lookalikes.jsrt:write_jsrt_lookalike",
    "nih_chestxray14": "medpipe.data.lookalikes.nih_chestxray14:write_nih_chestxray14_lookalike",
    "node21": "medpipe.data.lookalikes.node21:write_node21_lookalike",
    "path_vqa": "medpipe.data.lookalikes.path_vqa:write_path_vqa_lookalike",
    "registration_phantoms": "medpipe.data.lookalikes.registration_phantoms:write_registration_phantoms",
    "rsna_pneumonia": "medpipe.data.lookalikes.rsna_pneumonia:write_rsna_pneumonia_lookalike",
    "siim_acr": "medpipe.data.lookalikes.siim_acr:write_siim_acr_lookalike",
    "vindr_cxr": "medpipe.data.lookalikes.vindr_cxr:write_vindr_cxr_lookalike",
    "vqa_rad": "medpipe.data.lookalikes.vqa_rad:write_vqa_rad_lookalike",
}
"""Name -> module and function that writes it."""


class LookalikeWriter(Protocol):
    """What every look-alike's function takes; some take more by keyword."""

    def __call__(
        self,
        out: Path,
        *,
        cases: int,
        seed: int,
        size: int = ...,
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> Any:
        """Write ``cases`` generated cases to the new or empty folder ``out``."""


def lookalike_writer(name: str) -> LookalikeWriter:
    """Import the function that writes one look-alike.

    Raises:
        RequestError: no look-alike has that name; the message lists the nearest ones.
    """
    if name not in LOOKALIKES:
        raise RequestError(f"there is no look-alike of {name!r}; {nearest_names(name, LOOKALIKES)}")
    module, function = LOOKALIKES[name].split(":")
    return cast(LookalikeWriter, getattr(importlib.import_module(module), function))
