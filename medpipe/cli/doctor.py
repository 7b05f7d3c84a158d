"""medpipe doctor"""

from __future__ import annotations

import importlib
import importlib.metadata
import shutil
from collections.abc import Callable
from typing import Any

import typer

from medpipe.cli.common import EXIT, JsonOption, show_json


def run(as_json: JsonOption = False) -> None:
    """Check this installation: packages, matching torch and torchvision, image decoders, bundles, disk.

    Example: [bold]medpipe doctor[/bold]
    """
    checks: list[tuple[str, Callable[[], str]]] = [
        ("torch and torchvision", _torch),
        ("MONAI", lambda: _import("monai")),
        ("ignite", lambda: _import("ignite")),
        ("timm", lambda: _import("timm")),
        ("DICOM decoders", _decoders),
        ("bundles", _bundles),
        ("free disk", _disk),
    ]
    rows = [_row(name, check) for name, check in checks]
    if as_json:
        show_json(rows)
    else:
        for row in rows:
            print(f"{'ok  ' if row['ok'] else 'FAIL'}  {row['check']}: {row['text']}")
    raise typer.Exit(EXIT["done"] if all(row["ok"] for row in rows) else EXIT["internal"])


def _row(name: str, check: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "text": check()}
    except Exception as error:  # any failure is what the doctor is asked for
        return {"check": name, "ok": False, "text": str(error).split("\n", 1)[0]}


def _import(name: str) -> str:
    module = importlib.import_module(name)
    return str(getattr(module, "__version__", "imported"))


def _torch() -> str:
    version = _import("torch")
    try:
        vision = _import("torchvision")
    except Exception as error:
        raise RuntimeError(
            f"torchvision does not load beside torch {version}; install both from the same index: "
            "pip install -c constraints.txt torch torchvision"
        ) from error
    import torch

    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return f"{version} with torchvision {vision} on {device}"


def _decoders() -> str:
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, RLELossless

    wanted = (RLELossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless)
    missing = [uid.name for uid in wanted if not get_decoder(uid).is_available]
    if missing:
        raise RuntimeError(f"no decoder for {', '.join(missing)}; pip install pylibjpeg[all] pyjpegls")
    return f"all of {len(wanted)} compressed transfer syntaxes"


def _bundles() -> str:
    from medpipe.bundles import list_bundles

    found = list_bundles()
    if not found:
        raise RuntimeError("none found; install the wheel again, or work in a whole checkout")
    return f"{len(found)} ({sum(bundle.weights.is_file() for bundle in found)} with weights)"


def _disk() -> str:
    free = shutil.disk_usage(".").free
    if free < 1 << 30:
        raise RuntimeError(f"{free / 2**30:.1f} GiB left here; a run needs about 1 GiB")
    return f"{free / 2**30:.0f} GiB here"
