"""Options of the commands that run a bundle over many cases, and the config values that they stand for."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from medpipe.bundles import Bundle, parse_overrides
from medpipe.errors import RequestError

__all__ = [
    "BatchOptions",
    "DeviceOption",
    "DicomOption",
    "DryRunOption",
    "ExecutorOption",
    "IdentifiedOption",
    "LimitOption",
    "MemoryLimitOption",
    "RayAddressOption",
    "RetryFailedOption",
    "TimeLimitOption",
    "WorkersOption",
    "terminable",
]

_PANEL = "Batch"

WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=0, rich_help_panel=_PANEL, help="Processes that decode (0: none); with ray, machines' workers."
    ),
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", rich_help_panel=_PANEL, help="Where the network runs: cpu, cuda, cuda:1, mps.")
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, rich_help_panel=_PANEL, help="Do at most so many cases this time.")
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", rich_help_panel=_PANEL, help="Check everything, print the plan, and write nothing."),
]
RetryFailedOption = Annotated[
    bool, typer.Option("--retry-failed", rich_help_panel=_PANEL, help="Do the cases again that failed before.")
]
TimeLimitOption = Annotated[
    float | None, typer.Option("--time-limit", min=0.1, rich_help_panel=_PANEL, help="Seconds to decode one case.")
]
MemoryLimitOption = Annotated[
    float | None, typer.Option("--memory-limit", min=0.1, rich_help_panel=_PANEL, help="GiB to decode one case.")
]
DicomOption = Annotated[
    str | None,
    typer.Option(
        "--dicom",
        rich_help_panel=_PANEL,
        help="DICOM objects of each case for its study: sr, pr, sc, seg; of a pair: dsr. They name the patient.",
    ),
]
IdentifiedOption = Annotated[
    bool,
    typer.Option(
        "--identified", rich_help_panel=_PANEL, help="Leave patients' names, ids and birth dates in paths and reasons."
    ),
]
ExecutorOption = Annotated[
    str, typer.Option("--executor", rich_help_panel=_PANEL, help="local (this machine's processes) or ray (a cluster).")
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address", rich_help_panel=_PANEL, help="Of a running cluster, or RAY_ADDRESS; else one is started."
    ),
]


@dataclass(frozen=True)
class BatchOptions:
    """The options of one command as given; None and False were not given."""

    workers: int | None
    device: str | None
    limit: int | None
    retry_failed: bool
    time_limit: float | None
    memory_limit: float | None
    dry_run: bool
    dicom: str | None
    identified: bool
    executor: str
    ray_address: str | None

    def overrides(self, bundle: Bundle, mode: str, given: dict[str, Any], **more: Any) -> dict[str, Any]:
        """All config values of a request.

        Args:
            bundle: Must have a value for each option that was given.
            mode: "infer" or "evaluate".
            given: Values that the command was given by their names; they come before options.
            more: Options that this command alone has, by their config names.

        Raises:
            RequestError: The bundle has no such value, or an option is wrong or does not go with another.
        """
        named = {
            "num_workers": self.workers if self.executor == "local" else None,
            "limit": self.limit,
            "retry_failed": self.retry_failed,
            "time_limit": self.time_limit,
            "memory_limit": self.memory_limit,
            "device": self.device,
            "dicom": self.dicom,
            "identified": self.identified,
            **more,
        }
        values = {"weights": str(bundle.weights), **_config_values(bundle, mode, named), **given}
        _check_values(mode, values)
        values |= self._cluster(bundle, mode, values)
        return values | (_dry_run(bundle, mode) if self.dry_run else {})

    def _cluster(self, bundle: Bundle, mode: str, given: dict[str, Any]) -> dict[str, Any]:
        """Overrides that put a cluster in the evaluator's place; none for the local executor."""
        if self.executor == "local":
            if self.ray_address is not None:
                raise RequestError("--ray-address goes with --executor ray")
            return {}
        if self.executor != "ray":
            raise RequestError(f"executor '{self.executor}' is none of local, ray")
        from medpipe.batch.cluster import require_ray

        require_ray()
        return {
            "evaluator": {
                "_target_": "medpipe.batch.cluster.ClusterRun",
                "run_folder": "@run_folder",
                "cases": "@todo",
                "request": json.dumps({"bundle": str(bundle.root), "mode": mode, "overrides": given}),
                "workers": self.workers,
                "address": self.ray_address,
            }
        }


_LEAST = {"limit": 0, "watch_settle": 0, "watch_idle": 0.1}


def _check_values(mode: str, values: dict[str, Any]) -> None:
    """Refuse numbers, and options of another mode, that parts of a bundle would see only after the run has begun."""
    for name, least in _LEAST.items():
        value = values.get(name)
        if isinstance(value, int | float) and value < least:
            raise RequestError(f"{name} must be at least {least}, found {value}")
    if mode == "evaluate" and (given := [name for name in ("watch", "question") if values.get(name)]):
        raise RequestError(f"{given[0]} is for 'medpipe infer'; an evaluation takes its cases from the datalist")


def _config_values(bundle: Bundle, mode: str, options: dict[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in options.items() if value is not None and value is not False}
    device = given.pop("device", None)
    texts = [f"{key}={json.dumps(value)}" for key, value in given.items()]
    overrides = parse_overrides(texts, bundle.config(mode))
    if device is not None:
        if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
            raise RequestError(f"device '{device}' is none of cpu, cuda, cuda:N, mps")
        overrides["device"] = f"$torch.device('{device}')"
    return overrides


def _dry_run(bundle: Bundle, mode: str) -> dict[str, Any]:
    """Overrides that make a run check and plan only."""
    if not {"checks", "plan"} <= bundle.config(mode).keys():
        raise RequestError(f"bundle '{bundle.name}' has no dry run: its config lacks 'checks' and 'plan'")
    return {"init_id": "checks", "run_id": "plan"}


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end the run as Ctrl-C does: rows that are written stay, and the same command goes on."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: signals are another's business
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
