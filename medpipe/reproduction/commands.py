"""The two commands of a run: ``medpipe train`` and ``medpipe evaluate``, as a person would type them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.bundles import Bundle, bundles_folder
from medpipe.errors import RequestError
from medpipe.reproduction.plan import OWN, Plan, Run, Stage, option_texts

__all__ = ["Data", "Request", "check_given", "commands", "stage_command"]


@dataclass(frozen=True)
class Data:
    """The data set: its folder and its datalist."""

    root: Path
    datalist: Path


@dataclass(frozen=True)
class Request:
    """What all runs of one reproduction have in common.

    Attributes:
        plan: The bundle's.
        quick: Whether the recipe of generated data is followed.
        given: Further options, by key.
        threads: Of the network on a CPU.
        trust: Whether a foreign bundle's own code may run.
        given_stages: Further options of stages, by stage and key.
    """

    plan: Plan
    quick: bool
    given: Mapping[str, Any]
    threads: int = 1
    trust: bool = False
    given_stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def base(self) -> dict[str, Any]:
        """Values of the options that a setting does not name."""
        return self.plan.base_of(self.quick, self.given)

    @property
    def _recipe(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        recipe = self.plan.quick if self.quick else None
        return (recipe.options, recipe.evaluate) if recipe else ({}, {})

    def options(self, run: Run, mode: str) -> dict[str, Any]:
        """Options of a run that a mode's config has: the plan's, the quick ones, those given, the setting's."""
        shared, own = self._recipe
        config = self.plan.bundle.config(mode)
        common = {**self.plan.options, **shared, **self.given, **run.options}
        chosen = {key: value for key, value in common.items() if key.split(".")[0] in config}
        if mode == "train":
            return {**chosen, "seed": run.seed}
        given = {key: self.given[key] for key in self.given if key in chosen}
        return {**chosen, **self.plan.evaluate, **own, **given}

    def stages_of(self, run: Run) -> list[Stage]:
        """The stages that a run starts from."""
        return [self.plan.stages[name] for name in run.after]

    def stage_options(self, stage: Stage, data: Data) -> dict[str, Any]:
        """Options of a stage's training: those that it shares, its own, the quick ones, those given."""
        base = self.base
        recipe = self.plan.quick.stages.get(stage.name, {}) if self.quick and self.plan.quick else {}
        shared = {key: base[key] for key in stage.shares}
        files = {key: str(data.root / path) for key, path in stage.data.items()}
        return {**shared, **files, **stage.options, **recipe, **self.given_stages.get(stage.name, {})}

    def check_stages(self, runs: Iterable[Run], data: Data) -> None:
        """Look whether what the stages of runs learn from is there.

        Raises:
            RequestError: A file or folder does not exist; the message names the option.
        """
        for name in dict.fromkeys(name for run in runs for name in run.after):
            options = self.stage_options(self.plan.stages[name], data)
            for key in self.plan.stages[name].data:
                if not Path(options[key]).exists():
                    raise RequestError(f"stage '{name}': '{options[key]}' does not exist; give {name}.{key}=PATH")


def stage_command(request: Request, stage: Stage, seed: int, data: Data, folder: Path) -> list[str]:
    """The words of a stage's training.

    Args:
        request: Of all runs.
        stage: Which one.
        seed: Of the training.
        data: Of all runs.
        folder: Of the stage's run; it gets the folder "train".
    """
    texts = option_texts({**request.stage_options(stage, data), "seed": seed})
    trust = ["--trust"] if request.trust else []
    words = ["train", _reference(stage.of(request.plan.bundle)), "--config", stage.config, *texts, *trust]
    return [sys.executable, "-m", "medpipe", *words, "-o", str(folder / "train")]


def commands(
    request: Request, run: Run, data: Data, folder: Path, starts: Mapping[str, Path] | None = None
) -> dict[str, list[str]]:
    """The words of both commands of a run, by name: "train" and "evaluate".

    Args:
        request: Of all runs.
        run: Of the one.
        data: To train and evaluate on.
        folder: Of the run; it gets the folders "train" and "evaluate".
        starts: By option of the training, the file of a stage.
    """
    bundle = request.plan.bundle
    place = [f"dataset_dir={data.root}", f"datalist={data.datalist}"]
    trust = ["--trust"] if request.trust else []
    made = {}
    for mode in ("train", "evaluate"):
        weights = [f"weights={folder / 'train' / 'model.pt'}"] if mode == "evaluate" else []
        files = [f"{key}={path}" for key, path in (starts or {}).items()] if mode == "train" else []
        texts = option_texts(request.options(run, mode))
        words = [mode, _reference(bundle), *place, *weights, *files, *texts, *trust, "-o", str(folder / mode)]
        made[mode] = [sys.executable, "-m", "medpipe", *words]
    return made


def _reference(bundle: Bundle) -> str:
    """How the command line names the bundle: by its name where it ships with medpipe, else by its folder."""
    return bundle.name if bundle.root.resolve().parent == bundles_folder().resolve() else str(bundle.root)


def check_given(plan: Plan, given: Mapping[str, Any], compared: set[str]) -> None:
    """Refuse options that are the command's own or what its tables compare.

    Raises:
        RequestError: The message names the option.
    """
    for key in given:
        if key in OWN:
            hint = "; give --seeds N" if key == "seed" else ""
            raise RequestError(f"'{key}' is set by reproduce itself; leave it out{hint}")
        stage = next((one.name for one in plan.stages.values() if one.option == key), None)
        if stage:
            raise RequestError(f"'{key}' is what stage '{stage}' gives; leave it out")
        if key in compared:
            raise RequestError(
                f"'{key}' is what a table of '{plan.bundle.name}' compares; leave it out, or choose other tables by --table"
            )
