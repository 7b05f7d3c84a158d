"""Which room may import which: STYLE's rule, with the exceptions that are named here."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import medpipe

PACKAGE = Path(medpipe.__file__).parent
MAY_IMPORT = {
    "errors": set(),
    "__main__": {"cli"},
    "bundles": set(),
    "bundle_check": {"bundles"},
    "io": set(),
    "data": {"io"},
    "transforms": {"io", "data"},  # masks come from datalist entries
    "networks": set(),
    "losses": {"networks"},
    "metrics": set(),
    "predictions": {"io"},
    "engines": {"io", "predictions", "metrics"},
    "batch": {"io", "data", "predictions", "bundles"},
    "evaluation": {"io", "data", "predictions", "metrics"},
    "reports": {"io", "bundles", "predictions"},
    "pacs": {"io", "batch"},
    "reproduction": {
        "io",
        "data",
        "predictions",
        "metrics",
        "evaluation",
        "bundles",
    },  # it runs commands, builds nothing
    "cli": {
        "io",
        "data",
        "batch",
        "networks",
        "metrics",
        "predictions",
        "evaluation",
        "reports",
        "bundles",
        "bundle_check",
        "pacs",
        "reproduction",
    },
}
LIGHT = (
    "errors",
    "bundles",
    "bundle_check",
    "io",
    "data",
    "metrics",
    "predictions",
    "evaluation",
    "reports",
    "reproduction",
    "cli",
)


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "_resources" not in path.parts]


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    package = ["medpipe", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names = [stem, *(f"{stem}.{alias.name}" for alias in node.names)] if stem == "medpipe" else [stem]
        rooms |= {name.split(".")[1] for name in names if name.startswith("medpipe.")}
    return {room for room in rooms if (PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").is_file()}


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_the_rooms_it_may(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        assert imported_rooms(path) == set()
        return
    allowed = MAY_IMPORT[room] | {room, "errors"}
    assert imported_rooms(path) <= allowed


def test_nothing_in_the_package_imports_scripts_or_tests() -> None:
    for path in modules():
        names = {
            name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for name in (
                [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "")]
            )
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        assert not {str(name).split(".")[0] for name in names} & {"scripts", "tests", "bundles"}


@pytest.mark.parametrize("room", LIGHT)
def test_light_rooms_load_neither_torch_nor_monai(room: str) -> None:
    target = "cli.main" if room == "cli" else room
    code = f"import sys, medpipe.{target}; print(sorted({{'torch', 'monai', 'ignite'}} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
