"""Results of every kind, made by hand after the schema; and a browser that looks at a page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import medpipe
from medpipe.predictions.results import write_results
from medpipe.reports.page import write_report

SCHEMA = json.loads((Path(medpipe.__file__).parent / "predictions" / "results.schema.json").read_text("utf-8"))


class Sample:
    """Makes the content of results.json; each method gives one kind, checked against the schema."""

    def figure(self, name: str, value: float | None, low: float | None = None, high: float | None = None) -> Any:
        return {
            "name": name,
            "definition": f"what {name} means",
            "value": value,
            "low": low,
            "high": high,
            "level": 0.95,
            "method": "percentile bootstrap of 60 patients, 200 resamples, seed 0",
            "n": 60,
            "reason": None if value is not None else "one class is missing",
            "text": f"{name}: {value}",
        }

    def curve(self, name: str, x: list[float], y: list[float], *, extends: bool = True, band: bool = True) -> Any:
        grid = [0.0, 0.5, 1.0]
        found = {
            "name": name,
            "x": x,
            "y": y,
            "thresholds": [None, *(round(0.9 - 0.1 * k, 2) for k in range(len(x) - 1))],
            "x_label": f"x of {name}",
            "y_label": f"y of {name}",
            "extends": extends,
            "steps": name == "PR",
            "area": 0.8,
            "n_points": len(x),
        }
        if band:
            found["band"] = {
                "x": grid,
                "low": [0.0, 0.5, None],
                "high": [0.3, 0.9, None],
                "level": 0.95,
                "method": "pointwise bootstrap of patients",
                "n": 60,
            }
        return found

    def point(
        self, name: str, sensitivity: tuple[float, ...], specificity: tuple[float, ...], *, preset: bool = True
    ) -> Any:
        shares = {"sensitivity": sensitivity, "specificity": specificity, "ppv": (0.7, 0.6, 0.8), "npv": (0.9, 0.8, 1)}
        return {
            "name": name,
            "rule": f"the rule of {name}",
            "preset": preset,
            "threshold": 0.5,
            "counts": {"tp": 16, "fp": 4, "tn": 36, "fn": 4},
            **{key: self.figure(key, *values) for key, values in shares.items()},
            "reason": None,
        }

    def case(self, number: int, diseased: bool, score: float | None, **more: Any) -> Any:
        return {"case": f"case{number:03d}", "patient": str(number), "diseased": diseased, "score": score, **more}

    def cohort(self, **more: Any) -> Any:
        without = [
            {"case": "x1", "reason": "failed: pixel data are cut short (12 of 512 rows)"},
            {"case": "x2", "reason": "failed: pixel data are cut short (99 of 512 rows)"},
            {"case": "x3", "reason": "<b>no</b> image"},
        ]
        numbers = {"listed": 63, "analysed": 60, "diseased": 20, "nondiseased": 40, "patients": 55}
        return {**numbers, "without_result": without, **more}

    def roc(self) -> dict[str, Any]:
        scores = [round(0.02 + 0.016 * k, 3) for k in range(60)]
        return self.checked(
            {
                "task": "roc",
                "software": {"medpipe": "1.2.3", "numpy": "2.0"},
                "settings": {"level": 0.95, "resamples": 200, "seed": 0},
                "cohort": self.cohort(),
                "statement": "The scores are better than chance.",
                "headline": [self.figure("AUC", 0.9, 0.8, 0.97), self.figure("Average precision", 0.8, 0.6, 0.9)],
                "curves": {
                    "ROC": self.curve("ROC", [0.0, 0.1, 0.4, 1.0], [0.0, 0.8, 0.9, 1.0]),
                    "PR": self.curve("PR", [0.0, 0.5, 1.0], [1.0, 0.9, 0.3], extends=False),
                },
                "operating_points": [
                    self.point("Fixed", (0.8, 0.7, 0.9), (0.9, 0.85, 0.95)),
                    self.point("Chosen", (0.9, 0.8, 0.95), (0.7, 0.6, 0.8), preset=False),
                ],
                "calibration": {
                    "figures": [self.figure("Brier score", 0.1, 0.05, 0.15)],
                    "bins": [
                        {
                            "low": k / 4,
                            "high": (k + 1) / 4,
                            "n": 15,
                            "mean_score": k / 4 + 0.12,
                            "observed": self.figure("Observed share", k / 4 + 0.1, k / 4, k / 4 + 0.2),
                        }
                        for k in range(4)
                    ],
                    "reason": None,
                },
                "subgroups": [self.subgroup("sex", ("F", "M")), self.subgroup("site", ("north", "south"))],
                "cases": [
                    self.case(k, k % 3 == 0, score, groups={"sex": "FM"[k % 2], "site": "north"})
                    for k, score in enumerate(scores)
                ],
            }
        )

    def subgroup(self, variable: str, names: tuple[str, ...]) -> Any:
        groups = [
            {"name": name, "n": 30, "diseased": 10, "patients": 28, "figure": self.figure("AUC", 0.88, 0.7, 0.95)}
            for name in names
        ]
        return {"variable": variable, "figure": "AUC", "groups": groups}

    def localization(self) -> dict[str, Any]:
        rates = [0.125, 0.5, 2.0]
        return self.checked(
            {
                **{key: value for key, value in self.roc().items() if key not in ("format", "data")},
                "task": "localization",
                "cohort": self.cohort(lesions=30, marks=80, diseased_without_known_place=2),
                "hit_rule": "A mark hits a lesion within 10 mm.",
                "curves": {
                    "ROC": self.curve("ROC", [0.0, 0.1, 1.0], [0.0, 0.8, 1.0]),
                    "FROC": self.curve("FROC", [0.0, 1.0, 12.0], [0.0, 0.7, 0.9], extends=False),
                    "AFROC": self.curve("AFROC", [0.0, 0.2, 0.5], [0.0, 0.7, 0.8]),
                    "wAFROC": self.curve("wAFROC", [0.0, 0.2, 0.5], [0.0, 0.7, 0.8]),
                },
                "froc": {
                    "convention": "LUNA16",
                    "interpolation": "linear",
                    "end_point": [12.0, 0.9],
                    "rates": [
                        {"rate": rate, "beyond": False, **self.figure(f"Sensitivity at {rate}", 0.6, 0.5, 0.7)}
                        for rate in rates
                    ],
                    "mean": self.figure("Mean sensitivity", 0.65, 0.5, 0.75),
                },
                "cases": [
                    self.case(0, True, 0.9, lesions=2, found=1, false_positives=0, lesion_ratings=[0.9, None]),
                    self.case(1, True, 0.2, lesions=1, found=0, false_positives=1, false_positive_ratings=[0.2]),
                    self.case(2, True, 0.8, lesions=1, found=1, false_positives=0),
                    self.case(3, False, 0.95, lesions=0, found=0, false_positives=3),
                    self.case(4, False, 0.1, lesions=0, found=0, false_positives=1),
                ],
            }
        )

    def multilabel(self) -> dict[str, Any]:
        classes = [
            {
                "name": name,
                "positives": positives,
                "negatives": 60 - positives,
                "auc": self.figure("AUC", value, *(() if value is None else (value - 0.1, value + 0.05))),
                **({} if value is None else {"average_precision": self.figure("Average precision", 0.5, 0.3, 0.6)}),
                **({} if value is None else {"curve": self.curve("ROC", [0.0, 0.3, 1.0], [0.0, 0.8, 1.0], band=False)}),
            }
            for name, positives, value in (("nodule", 20, 0.7), ("effusion", 30, 0.9), ("hernia", 0, None))
        ]
        return self.checked(
            {
                "task": "multilabel",
                "cohort": self.cohort(),
                "headline": [self.figure("Mean AUC", 0.8, 0.7, 0.9)],
                "curves": {},
                "multilabel": {
                    "classes": classes,
                    "mean": self.figure("Mean AUC", 0.8, 0.7, 0.9),
                    "undefined": ["hernia"],
                },
                "cases": [
                    self.case(
                        k,
                        True,
                        None,
                        scores={"nodule": 0.1 * k, "effusion": 0.5, "hernia": 0.0},
                        labels={"nodule": 1, "effusion": k % 2, "hernia": 0},
                    )
                    for k in range(4)
                ],
            }
        )

    def mrmc(self) -> dict[str, Any]:
        foms = {"wAFROC": [[0.7, 0.8], [0.75, 0.85]], "AFROC": [[0.61, 0.62], [0.63, 0.64]]}
        study = {
            "type": "FROC",
            "modalities": ["plain", "enhanced"],
            "readers": ["Ann", "Bob"],
            "level": 0.95,
            "covariance": "jackknife",
            "multiplicity": "none",
            "figures_of_merit": foms,
            "definitions": {"wAFROC": "the weighted figure", "AFROC": "the unweighted figure"},
            "unavailable": {"Wilcoxon": "these are marks"},
            "tests": {name: self.tests(k) for k, name in enumerate(foms)},
            "planning": {
                "rows": [
                    {"readers": 4, "cases": 200, "power": 0.81},
                    {"readers": 3, "cases": None, "power": None, "reason": "not even 10,000 cases suffice"},
                ],
                "assumptions": "A difference of 0.05",
            },
        }
        return self.checked(
            {
                "task": "mrmc",
                "cohort": self.cohort(readings=240, without_result=[], listed=60),
                "headline": [self.figure("wAFROC, plain", 0.75, 0.7, 0.8)],
                "curves": {},
                "reader_study": study,
                "cases": [self.case(k, k < 20, None, lesions=int(k < 20)) for k in range(60)],
            }
        )

    def measure(self, key: str, before: float | None, after: float, unit: str = "") -> Any:
        known = before is not None
        return {
            "key": key,
            "name": f"{key} of it",
            "unit": unit,
            "better": "higher" if key == "dice" else "lower",
            "before": self.figure(f"{key}, before", before, before - 0.1, before + 0.1) if known else None,
            "after": self.figure(key, after, after - 0.05, after + 0.05),
            "change": self.figure(f"Change of {key}", after - before, after - before - 0.02, 0.3) if known else None,
            "sd": 0.03,
            "quantile_30": 0.71,
        }

    def registration(self, protocol: str = "medpipe") -> dict[str, Any]:
        """Four pairs with two structures; the second is not there in the last pair."""
        pairs = []
        for k in range(4):
            structures = {
                str(label): {"before": {"dice": 0.5 + k / 20}, "after": {"dice": 0.9 - k / 10}} for label in (1, 2)
            }
            if k == 3:
                structures["2"]["after"]["dice"] = None
            values = {"before": {"dice": 0.5 + k / 20}, "after": {"dice": 0.9 - k / 10, "memory_mb": 1234.5}}
            own = {"subjects": ["1", str(k + 2)], "structures": structures, "remarks": ["<i>odd</i>"] if k == 2 else []}
            pairs.append(self.case(k, False, None, **values, **own) | {"diseased": None, "case": f"pair {k}"})
        planes = [
            {
                "plane": plane,
                "slice": 9,
                "files": {kind: f"pictures/1_{plane}_{kind}.jpg" for kind in ("fixed", "before", "after", "grid")},
            }
            for plane in ("axial", "coronal", "sagittal")
        ]
        return self.checked(
            {
                "task": "registration",
                "cohort": self.cohort(listed=4, analysed=4, diseased=0, nondiseased=0, patients=5, without_result=[]),
                "statement": "Registration improves the alignment.",
                "headline": [self.figure("Dice", 0.8, 0.7, 0.9)],
                "curves": {},
                "registration": {
                    "protocol": protocol,
                    "description": "what the protocol does",
                    "landmarks": 12,
                    "measures": [self.measure("dice", 0.6, 0.8), self.measure("memory_mb", None, 1234.5, "MB")],
                    "structures": [
                        {"label": 1, "name": "anterior", "measures": [self.measure("dice", 0.6, 0.8)]},
                        {
                            "label": 2,
                            "name": "posterior",
                            "measures": [self.measure("dice", 0.5, 0.7), self.measure("assd", 3.0, 1.0, "mm")],
                        },
                        {"label": 9, "name": "absent", "measures": []},
                    ],
                    "pictures": [{"case": "pair 3", "role": "worst by Dice", "planes": planes}],
                },
                "cases": pairs,
            }
        )

    def tests(self, shift: int) -> dict[str, Any]:
        pair = {
            "label": "plain - enhanced",
            "estimate": -0.05,
            "se": 0.02,
            "p": 0.02,
            "ci_low": -0.09,
            "ci_high": -0.01,
        }
        mean = {"label": "plain", "estimate": 0.75, "se": 0.03, "ci_low": 0.69, "ci_high": 0.81}
        by_f = {"F": 7.5 + shift, "ndf": 1, "ddf": 36.8, "p": 0.0001, "ms_numerator": 0.1, "ms_denominator": 0.2}
        t = {"differences": [{**pair, "df": 36.8, "t": -2.5}], "per_modality": [{**mean, "df": 7.7}] * 2}
        z = {"differences": [{**pair, "z": -2.4}], "per_modality": [mean] * 2}
        return {
            "or_mean_squares": {"T": 0.0023, "R": 0.0118, "TR": 0.00017},
            "or_components": {"VarR": 0.0022, "Cov1": 0.0004},
            "dbm_mean_squares": {"T": 0.46},
            "dbm_components": {"unavailable": "one reader"},
            "modality_means": [0.75, 0.8],
            "OR": {
                "RRRC": {**by_f, **t},
                "FRRC": {"chisq": 15.4, "df": 1, "p": 0.004, **z, "differences_each_reader": [{**pair, "z": -1.0}]},
                "RRFC": {**by_f, "ddf": None, **t},
            },
            "DBM": {"RRRC": {**by_f, "F": 99.0, **t}, "FRRC": {"unavailable": "one reader"}},
        }

    def comparison(self) -> dict[str, Any]:
        return {
            "first": "new <i>model</i>",
            "second": "old model",
            "n": 58,
            "left_out": [{"case": "q", "reason": "not in old model"}],
            "figures": [
                {
                    "name": "AUC",
                    "first": self.figure("AUC", 0.9, 0.8, 0.97),
                    "second": self.figure("AUC", 0.85, 0.7, 0.95),
                    "difference": self.figure("Difference in AUC", 0.05, -0.01, 0.11),
                    "p": 0.09,
                    "test": "DeLong's paired test, two-sided",
                    "z": 1.7,
                }
            ],
            "curves": {"ROC": self.curve("ROC", [0.0, 0.2, 1.0], [0.0, 0.7, 1.0], band=False)},
            "statement": "The two are not shown to differ.",
        }

    def checked(self, results: dict[str, Any]) -> dict[str, Any]:
        whole = {"format": "medpipe-results/1", "data": {"name": "look-alike", "generated": True}, **results}
        Draft202012Validator(SCHEMA).validate(whole)
        return whole


@pytest.fixture(scope="session")
def sample() -> Sample:
    return Sample()


@pytest.fixture
def page_of(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes results.json and returns the page's path."""

    def write(results: dict[str, Any], comparison: dict[str, Any] | None = None) -> Path:
        write_results(tmp_path / "results.json", results)
        return write_report(tmp_path, comparison)

    return write


@dataclass
class Opened:
    """A page in the browser, what it said on the console, and what it asked for."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install '.[test]'")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium or Chrome on this machine: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Opened]]:
    """Function that opens a page; options go to the browser's context. At the end the page must have kept quiet."""
    pages: list[Opened] = []

    def open_page(path: Path, *, before: str = "", width: int = 1280, **options: Any) -> Opened:
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        if before:
            context.add_init_script(before)
        found = Opened(context.new_page())
        found.page.on("console", lambda message: found.said.append(message.text))
        found.page.on("pageerror", lambda error: found.said.append(str(error)))
        found.page.on("request", lambda request: found.asked.append(request.url))
        found.page.goto(path.as_uri())
        pages.append(found)
        return found

    yield open_page
    for found in pages:
        own = found.page.url.split("#")[0]
        found.page.context.close()
        assert found.said == []
        assert {url for url in found.asked if not url.startswith("data:")} == {own}
