"""What a reproduction compares: a bundle's configs/reproduce.yaml, and the runs that it asks for.

The file is plain data, described and checked by reproduce.schema.json; nothing in it is evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from medpipe.bundles import Bundle, find_bundle, parse_overrides, read_config
from medpipe.data.names import nearest_names
from medpipe.errors import RequestError

__all__ = [
    "CONFIG",
    "OWN",
    "Metric",
    "Plan",
    "Published",
    "Quick",
    "Run",
    "Setting",
    "Stage",
    "Table",
    "load_plan",
    "option_texts",
]

CONFIG = "configs/reproduce.yaml"
Options = Mapping[str, Any]
OWN = ("dataset_dir", "datalist", "output_dir", "seed", "weights")
"""Options that the command itself sets for every run."""


@dataclass(frozen=True)
class Metric:
    """A figure that is compared.

    Attributes:
        name: In tables.
        title: In words.
        figure: Its name among the headline figures of results.json.
    """

    name: str
    title: str
    figure: str


@dataclass(frozen=True)
class Published:
    """A published mean, and its standard deviation over the paper's runs where it gives one."""

    mean: float
    sd: float | None


@dataclass(frozen=True)
class Stage:
    """A training that comes before others, such as a pretraining; attributes as in the schema."""

    name: str
    title: str
    config: str
    option: str
    file: str
    shares: tuple[str, ...]
    data: Mapping[str, str]
    options: Options
    bundle: str | None

    def of(self, bundle: Bundle) -> Bundle:
        """The bundle whose training it is: the one that is reproduced, or another one."""
        return bundle if self.bundle is None else find_bundle(self.bundle)

    def training(self, bundle: Bundle) -> dict[str, Any]:
        """The config of its training."""
        found = self.of(bundle)
        return replace(found, overlays=(*found.overlays, self.config)).config("train")


@dataclass(frozen=True)
class Setting:
    """One row of a table.

    Attributes:
        name: Within the table.
        title: In words.
        options: That make it differ from the bundle's defaults.
        published: By name of the metric.
        after: Names of the stages that its training starts from.
    """

    name: str
    title: str
    options: Options
    published: Mapping[str, Published]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Settings that are compared with each other; attributes as in the schema."""

    name: str
    title: str
    source: str
    reference: str
    claim: str | None
    note: str | None
    only_when_named: bool
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Quick:
    """The recipe of generated data and small networks; attributes as in the schema."""

    lookalike: str
    dataset: str
    cases: int
    seed: int
    split: tuple[float, float, float]
    split_seed: int
    chosen: str
    size: int | None
    synth_options: Options
    prepare_options: Options
    options: Options
    evaluate: Options
    stages: Mapping[str, Options]


@dataclass(frozen=True)
class Run:
    """One training with its evaluation, or a stage: a training without one.

    Attributes:
        name: Of its folder; settings of two tables that are the same share it.
        options: Of the setting.
        seed: Of the training.
        after: Names of the stages that it starts from, each with the same seed.
    """

    name: str
    options: Options
    seed: int
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Everything that a bundle's reproduce.yaml says.

    Attributes:
        bundle: Whose it is.
        paper: Whose comparisons these are.
        published_on: The data of the published numbers.
        seeds: Runs of each setting where no other number is asked for.
        metrics: What is compared.
        options: Of every training and evaluation.
        evaluate: Further options of every evaluation.
        tables: In their order.
        stages: By name.
        quick: None where the bundle has no recipe.
    """

    bundle: Bundle
    paper: str
    published_on: str
    seeds: int
    metrics: tuple[Metric, ...]
    options: Options
    evaluate: Options
    tables: tuple[Table, ...]
    quick: Quick | None
    stages: Mapping[str, Stage] = field(default_factory=dict)

    def chosen(self, names: Sequence[str]) -> tuple[Table, ...]:
        """The tables of these names, in the file's order; without names, all that need not be named.

        Raises:
            RequestError: There is no such table; the nearest names are given.
        """
        known = [table.name for table in self.tables]
        for name in names:
            if name not in known:
                raise RequestError(f"bundle '{self.bundle.name}' has no table '{name}'; {nearest_names(name, known)}")
        return tuple(t for t in self.tables if (t.name in names if names else not t.only_when_named))

    def defaults(self) -> dict[str, Any]:
        """The options of training, with the values that the bundle gives them."""
        return {key: value for key, value in self.bundle.config("train").items() if not isinstance(value, dict | list)}

    def run_of(self, setting: Setting, base: Options) -> tuple[str, Options, tuple[str, ...]]:
        """Name of a setting's folder, its options and stages: of the first setting of the file which is the same run.

        They do not depend on which tables are asked for, so that tables can be added to a finished reproduction.

        Args:
            setting: Of any table.
            base: Values of the options that the setting does not name, see ``base_of``.
        """
        wanted = _difference(setting.options, base), set(setting.after)
        for table in self.tables:
            for other in table.settings:
                if (_difference(other.options, base), set(other.after)) == wanted:
                    return f"{table.name}-{other.name}", other.options, other.after
        raise AssertionError(f"setting '{setting.name}' is of no table of this plan")

    def base_of(self, quick: bool, given: Options) -> dict[str, Any]:
        """Values of all options before a setting changes some: the bundle's, the plan's, the quick ones, those given."""
        recipe = self.quick.options if quick and self.quick else {}
        return {**self.defaults(), **self.options, **recipe, **given}

    def runs(self, tables: Sequence[Table], base: Options, seeds: int) -> list[Run]:
        """Every run that the tables need, once.

        The references and what the paper claims come first, with all seeds, so that the main question is answered early;
        then all other settings of a seed before the next seed.
        """
        leading = [one for t in tables for one in t.settings if one.name in (t.reference, t.claim)]
        first = {found[0]: found for found in (self.run_of(setting, base) for setting in leading)}
        every = {found[0]: found for found in (self.run_of(one, base) for table in tables for one in table.settings)}
        others = {name: found for name, found in every.items() if name not in first}
        return [
            Run(name, dict(options), seed, tuple(after))
            for part in (first, others)
            for seed in range(seeds)
            for name, options, after in part.values()
        ]


def _difference(options: Options, base: Options) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key not in base or base[key] != value}


def option_texts(options: Options) -> list[str]:
    """Options as ``key=value`` words that ``parse_overrides`` reads back."""
    return [f"{key}={_text(value)}" for key, value in options.items()]


def _text(value: Any) -> str:
    plain = isinstance(value, str) and value and yaml.safe_load(value) == value
    return str(value) if plain else json.dumps(value)


def load_plan(bundle: Bundle) -> Plan:
    """Read and check a bundle's reproduce.yaml.

    Raises:
        RequestError: The bundle has none, or it does not follow the schema, or it names an option, a setting or a metric
            that is not there; the message names file and place.
    """
    path = bundle.root / CONFIG
    if not path.is_file():
        raise RequestError(
            f"bundle '{bundle.name}' has no {CONFIG}: it does not say which comparisons of its paper can be run"
        )
    content = read_config(path)
    _check_schema(content, path)
    plan = Plan(
        bundle,
        content["paper"],
        content["published_on"],
        content["seeds"],
        tuple(Metric(name, one["title"], one["figure"]) for name, one in content["metrics"].items()),
        content.get("options", {}),
        content.get("evaluate", {}),
        tuple(_table(name, one) for name, one in content["tables"].items()),
        _quick(content["quick"]) if "quick" in content else None,
        {name: _stage(name, one) for name, one in content.get("stages", {}).items()},
    )
    _check_names(plan, path)
    _check_options(plan, path)
    return plan


def _table(name: str, content: dict[str, Any]) -> Table:
    settings = tuple(
        Setting(
            key,
            one.get("title", key),
            one["options"],
            {
                metric: Published(float(found[0]), float(found[1]) if len(found) > 1 else None)
                for metric, found in one.get("published", {}).items()
            },
            tuple(one.get("after", ())),
        )
        for key, one in content["settings"].items()
    )
    return Table(
        name,
        content["title"],
        content["source"],
        content["reference"],
        content.get("claim"),
        content.get("note"),
        content.get("only_when_named", False),
        settings,
    )


def _stage(name: str, content: dict[str, Any]) -> Stage:
    defaults: dict[str, Any] = {"file": "model.pt", "data": {}, "options": {}, "bundle": None}
    return Stage(**{**defaults, **content, "name": name, "shares": tuple(content.get("shares", ()))})


def _quick(content: dict[str, Any]) -> Quick:
    names = ("synth_options", "prepare_options", "options", "evaluate", "stages")
    empty: dict[str, Any] = {key: {} for key in names}
    return Quick(**{"size": None, **empty, **content, "split": tuple(content["split"])})


def _check_schema(content: dict[str, Any], path: Path) -> None:
    import jsonschema  # slow to import, and only needed here

    schema = json.loads(Path(__file__).with_name("reproduce.schema.json").read_text(encoding="utf-8"))
    problems = sorted(
        jsonschema.Draft202012Validator(schema).iter_errors(content), key=lambda found: list(map(str, found.path))
    )
    if problems:
        place = "/".join(str(part) for part in problems[0].absolute_path) or "the whole"
        raise RequestError(f"config '{path}', {place}: {problems[0].message[:200]}")


def _check_names(plan: Plan, path: Path) -> None:
    metrics = [metric.name for metric in plan.metrics]
    for table in plan.tables:
        names = [setting.name for setting in table.settings]
        for key, name in (("reference", table.reference), ("claim", table.claim)):
            if name is not None and name not in names:
                raise RequestError(
                    f"config '{path}', tables/{table.name}/{key}: no setting '{name}'; there are {names}"
                )
        for setting in table.settings:
            place = f"tables/{table.name}/settings/{setting.name}"
            _check_known(path, f"{place}/published", "metric", setting.published, metrics)
            _check_known(path, f"{place}/after", "stage", setting.after, plan.stages)
            for name in setting.after:  # a stage is trained once a seed, for all settings that start from it
                both = sorted(setting.options.keys() & set(plan.stages[name].shares))
                if both:
                    raise RequestError(f"config '{path}', {place}/options: '{both[0]}' is shared with stage '{name}'")
    if plan.quick:
        _check_known(path, "quick/stages", "stage", plan.quick.stages, plan.stages)


def _check_known(path: Path, place: str, kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise RequestError(f"config '{path}', {place}: no {kind} '{unknown[0]}'; there are {list(known)}")


def _check_options(plan: Plan, path: Path) -> None:
    """Every option must be one of the training or of the evaluation, and of its kind."""
    configs = {mode: plan.bundle.config(mode) for mode in ("train", "evaluate")}
    for name, stage in plan.stages.items():
        configs[name] = stage.training(plan.bundle)
        for mode in (name, "train"):
            _check_known(path, f"stages/{name}/shares", "option", stage.shares, configs[mode])
    if "seed" not in configs["train"]:
        raise RequestError(f"bundle '{plan.bundle.name}' has no option 'seed' of training; its runs could not differ")
    for place, options, modes in _option_places(plan):
        for key, value in options.items():
            mode = next((m for m in modes if _has(configs[m], key)), modes[0])
            try:
                if key in OWN:
                    raise RequestError(f"'{key}' is set by the command itself")
                parse_overrides(option_texts({key: value}), configs[mode])
            except RequestError as error:
                raise RequestError(f"config '{path}', {place}: {error}") from error


def _option_places(plan: Plan) -> Iterator[tuple[str, Options, tuple[str, ...]]]:
    both = ("train", "evaluate")
    yield "options", plan.options, both
    yield "evaluate", plan.evaluate, ("evaluate",)
    for table in plan.tables:
        for setting in table.settings:
            yield f"tables/{table.name}/settings/{setting.name}/options", setting.options, both
    for name, stage in plan.stages.items():
        yield f"stages/{name}/options", stage.options, (name,)
        yield f"stages/{name}/data", stage.data, (name,)
        yield f"stages/{name}/option", {stage.option: stage.file}, ("train",)
    if plan.quick:
        yield "quick/options", plan.quick.options, both
        yield "quick/evaluate", plan.quick.evaluate, ("evaluate",)
        for name, options in plan.quick.stages.items():
            yield f"quick/stages/{name}", options, (name,)


def _has(config: Mapping[str, Any], key: str) -> bool:
    return key.split(".")[0] in config
