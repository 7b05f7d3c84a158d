"""A small bundle that can be reproduced, and results of its runs, without any training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from medpipe.bundles import Bundle

TRAIN = {"seed": 0, "max_epochs": 3, "context": "acm", "groups": 4, "rate": 0.1, "dataset_dir": "d", "output_dir": "o"}
EVALUATE = {"seed": 9, "context": "acm", "groups": 4, "bootstrap": 10, "rule": {"tolerance": 0.1}, "datalist": "x"}
REPRODUCE: dict[str, Any] = {
    "paper": "A paper",
    "published_on": "private images",
    "seeds": 2,
    "metrics": {"AUC": {"figure": "AUC", "title": "area"}, "JAFROC": {"figure": "AFROC", "title": "marks"}},
    "evaluate": {"bootstrap": 5},
    "tables": {
        "modules": {
            "title": "Modules",
            "source": "its table 1",
            "reference": "none",
            "claim": "acm",
            "settings": {
                "none": {"options": {"context": "none"}, "published": {"AUC": [0.8, 0.01]}},
                "acm": {"title": "ACM", "options": {"context": "acm"}, "published": {"AUC": [0.9]}},
            },
        },
        "groups": {
            "title": "Groups",
            "source": "its table 2",
            "reference": "4",
            "settings": {
                "2": {"options": {"context": "acm", "groups": 2}},
                "4": {"options": {"context": "acm", "groups": 4}},
            },
        },
        "rates": {
            "title": "Rates",
            "source": "its table 3",
            "reference": "0.1",
            "only_when_named": True,
            "settings": {"0.1": {"options": {"rate": 0.1}}, "1": {"options": {"rate": 1.0}}},
        },
    },
    "quick": {
        "lookalike": "siim_acr",
        "dataset": "siim_acr",
        "cases": 12,
        "size": 64,
        "seed": 3,
        "split": [0.5, 0.25, 0.25],
        "split_seed": 1,
        "options": {"max_epochs": 1},
        "evaluate": {"rule.tolerance": 0.2},
        "chosen": "by hand",
    },
}


@pytest.fixture
def make_bundle(tmp_path) -> Callable[..., Bundle]:
    """Function that writes the small bundle; what it is given takes the place of keys of reproduce.yaml."""

    def make(**changes: Any) -> Bundle:
        configs = tmp_path / "bundle" / "configs"
        configs.mkdir(parents=True, exist_ok=True)
        (configs / "metadata.json").write_text("{}")
        content = {key: value for key, value in {**REPRODUCE, **changes}.items() if value is not None}
        for name, config in (("train", TRAIN), ("inference", {}), ("evaluate", EVALUATE), ("reproduce", content)):
            (configs / f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        return Bundle(tmp_path / "bundle")

    return make


def results(area: float, seed: int = 0, *, marks: bool = True) -> dict[str, Any]:
    """A small results.json of an evaluation whose AUC is ``area``."""
    figures = {"AUC": area, "AFROC": area - 0.1}
    rng = np.random.default_rng([seed, round(area * 1000)])
    return {
        "format": "medpipe-results/1",
        "task": "localization",
        "data": {"name": "siim_acr", "generated": True, "section": "test"},
        "cohort": {
            "listed": 10,
            "without_result": [],
            "analysed": 10,
            "diseased": 5,
            "nondiseased": 5,
            "patients": 10,
        },
        "headline": [
            {
                "name": name,
                "definition": name,
                "value": value,
                "low": None,
                "high": None,
                "level": 0.95,
                "method": "by hand",
                "n": 10,
                "reason": "made up",
                "text": name,
            }
            for name, value in figures.items()
        ],
        "curves": {},
        "cases": [
            {
                "case": f"c{k}",
                "patient": str(k),
                "diseased": k < 5,
                "score": float(rng.normal() + (k < 5) * area),
                "groups": {},
                **({"lesions": int(k < 5), "found": int(k < 5), "false_positives": 1} if marks else {"lesions": None}),
                **({"lesion_ratings": [float(rng.normal() + area)] if k < 5 else []} if marks else {}),
                **({"false_positive_ratings": [float(rng.normal())]} if marks else {}),
            }
            for k in range(10)
        ],
    }


class FakeRunner:
    """Writes what the two commands would leave, and remembers what it was asked for.

    Args:
        areas: AUC by context; that of a run grows by a hundredth with the seed.
        codes: Exit code by the words that a command must hold all of.
    """

    def __init__(self, areas: dict[str, float], codes: dict[tuple[str, ...], int] | None = None) -> None:
        self.areas, self.codes = areas, codes or {}
        self.commands: list[list[str]] = []
        self.stopped = False

    def __call__(self, words: list[str], log: Path) -> int:
        self.commands.append(list(words))
        for wanted, code in self.codes.items():
            if set(wanted) <= set(words):
                with log.open("a") as stream:
                    stream.write("something\nerror: the disk is made of cheese\n")
                return code
        out = Path(words[words.index("-o") + 1])
        out.mkdir(parents=True, exist_ok=True)
        if words[3] == "train":
            (out / "model.pt").write_text("weights")
        else:
            seed = int(out.parent.name)
            options = dict(word.split("=", 1) for word in words if "=" in word)
            area = self.areas[options["context"]] + 0.01 * seed
            (out / "results.json").write_text(json.dumps(results(area, seed)))
        return 0

    def stop(self) -> None:
        self.stopped = True

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Mode, and the run's folder, of every command."""
        return [(words[3], "/".join(Path(words[words.index("-o") + 1]).parts[-3:-1])) for words in self.commands]


@pytest.fixture
def fake_runner() -> type[FakeRunner]:
    """The class of a runner that trains nothing."""
    return FakeRunner


@pytest.fixture
def reproduce_content() -> dict[str, Any]:
    """A copy of the small bundle's reproduce.yaml."""
    return json.loads(json.dumps(REPRODUCE))


@pytest.fixture
def request_of(make_bundle) -> Callable[..., Any]:
    """Function that makes a request of the small bundle: ``request_of(quick=False, **given)``."""
    from medpipe.reproduction.commands import Request
    from medpipe.reproduction.plan import load_plan

    def make(*, quick: bool = False, bundle: Bundle | None = None, **given: Any) -> Request:
        return Request(load_plan(bundle or make_bundle()), quick, given)

    return make
