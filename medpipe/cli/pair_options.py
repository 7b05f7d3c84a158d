"""Options of ``medpipe infer`` for bundles that register pairs, and the config values that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.bundles import Bundle, absolute
from medpipe.errors import RequestError

__all__ = [
    "AffineOption",
    "FixedLabelsOption",
    "FixedOption",
    "MethodOption",
    "MovingLabelsOption",
    "MovingOption",
    "PairOptions",
    "PairsOption",
    "PointsOption",
    "RefineOption",
]

_PANEL = "Registration"
_METHODS = ("network", "affine", "bspline", "demons", "syn", "voxelmorph")
_ALIGNMENTS = ("none", "moments", "rigid", "affine")

Paths = list[Path] | None

FixedOption = Annotated[
    Paths,
    typer.Option(
        "--fixed", rich_help_panel=_PANEL, help="Image that stays: a file or a DICOM series. Once, or per moving."
    ),
]
MovingOption = Annotated[
    Paths,
    typer.Option(
        "--moving", rich_help_panel=_PANEL, help="Image that is warped; more of them may follow. Also a folder."
    ),
]
PairsOption = Annotated[
    Path | None,
    typer.Option(
        "--pairs", rich_help_panel=_PANEL, help="Table instead: fixed, moving[, moving_labels, points, case]."
    ),
]
MovingLabelsOption = Annotated[
    Paths,
    typer.Option("--moving-labels", rich_help_panel=_PANEL, help="Label map carried along, one per moving image."),
]
FixedLabelsOption = Annotated[
    Paths, typer.Option("--fixed-labels", rich_help_panel=_PANEL, help="Label map for Dice, one per fixed image.")
]
PointsOption = Annotated[
    Paths, typer.Option("--points", rich_help_panel=_PANEL, help="Landmarks of the moving image carried along (CSV).")
]
AffineOption = Annotated[
    str | None,
    typer.Option("--affine", rich_help_panel=_PANEL, help="Alignment beforehand: none, moments, rigid, affine."),
]
RefineOption = Annotated[
    int | None,
    typer.Option("--refine", min=0, rich_help_panel=_PANEL, help="Gradient steps on the field of each pair."),
]
MethodOption = Annotated[
    str | None, typer.Option("--method", rich_help_panel=_PANEL, help=f"Of registration: {', '.join(_METHODS)}.")
]


@dataclass(frozen=True)
class PairOptions:
    """The options as given; None was not given."""

    fixed: Paths = None
    moving: Paths = None
    pairs: Path | None = None
    moving_labels: Paths = None
    fixed_labels: Paths = None
    points: Paths = None
    affine: str | None = None
    refine: int | None = None
    method: str | None = None

    def overrides(
        self, bundle: Bundle, paths: Sequence[str], given: dict[str, Any], *, watch: bool
    ) -> dict[str, Any] | None:
        """Config values of a request; None where the bundle does not register.

        Args:
            bundle: What is to be run.
            paths: Further paths of the command line, which follow the moving images.
            given: Values that the command was given by their names.
            watch: Whether a folder is to be watched.

        Raises:
            RequestError: Options of registration for another bundle, or none for one that registers; a path is missing, or
                options contradict each other.
        """
        named = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) not in (None, [])}
        if not {"fixed", "moving", "pairs"} <= bundle.config("infer").keys():
            if named:
                raise RequestError(
                    f"{_option(next(iter(named)))} is for registration; '{bundle.name}' registers nothing"
                )
            return None
        if watch:
            raise RequestError(f"--watch cannot tell pairs; '{bundle.name}' takes --fixed and --moving, or --pairs")
        twice = sorted(named.keys() & given.keys())
        if twice:
            raise RequestError(f"{twice[0]} is given by {_option(twice[0])}; leave the override out")
        self._check(paths, given)
        moving = [*(self.moving or []), *map(Path, paths)]
        if moving:
            named["moving"] = moving
        for role in ("fixed", "moving", "moving_labels", "fixed_labels", "points"):
            if role in named:
                named[role] = absolute(_existing(role, named[role]))
        if self.pairs is not None:
            named["pairs"] = absolute(_existing("pairs", [self.pairs]))
        return named

    def _check(self, paths: Sequence[str], given: dict[str, Any]) -> None:
        images = self.fixed or self.moving or self.moving_labels or self.fixed_labels or self.points
        if self.pairs is not None and (images or paths):
            raise RequestError("--pairs takes the place of images, labels and points; leave them out")
        by_name = {"fixed", "moving", "pairs"} & given.keys()
        if self.pairs is None and not by_name:
            if not self.fixed:
                raise RequestError("no fixed image given; name --fixed FILE --moving FILE..., or --pairs TABLE")
            if not (self.moving or paths):
                raise RequestError("no moving image given; name --moving FILE..., or --pairs TABLE")
        for option, value, valid in (("affine", self.affine, _ALIGNMENTS), ("method", self.method, _METHODS)):
            if value is not None and value not in valid:
                raise RequestError(f"--{option} '{value}' is none of {', '.join(valid)}")
        if self.method == "voxelmorph" and "weights" not in given:
            raise RequestError("--method voxelmorph needs weights of MONAI's VoxelMorph; give weights=FILE")

    def needs_weights(self, given: dict[str, Any]) -> bool:
        """Whether what is to be run has weights; all but the classical methods do."""
        return given.get("method", "network") in ("network", "voxelmorph")


def _existing(role: str, paths: Sequence[Path]) -> list[Path]:
    for path in paths:
        if not path.exists():
            raise RequestError(f"{_option(role)} '{path}' does not exist")
    return list(paths)


def _option(role: str) -> str:
    return f"--{role.replace('_', '-')}"
