"""The methods text: what was really computed, with references, ready to paste."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from medpipe.reports.cohort import class_labels, unit_words
from medpipe.reports.formats import count, plural
from medpipe.reports.notes import Notes, definition_sentence, joined
from medpipe.reports.reader_study import GENERALISATIONS, METHODS

__all__ = ["Citations", "methods_section", "references"]

_BY_METHOD = {"DeLong": "delong", "bootstrap": "bootstrap", "Wilson": "wilson"}
"""A word in the name of an interval's method, and the reference that goes with it."""

_CALIBRATION = {"Brier": "brier", "calibration error": "calibration_error"}
"""The same for the names of calibration figures."""


@cache
def references() -> dict[str, str]:
    """All references by key."""
    text = Path(__file__).with_name("templates").joinpath("references.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


class Citations:
    """Numbers references in the order in which a text cites them."""

    def __init__(self) -> None:
        self.listed: list[str] = []

    def __call__(self, *texts: str) -> str:
        """The mark, such as "[1, 2]", of references that are keys or full texts."""
        numbers = []
        for text in texts:
            full = references().get(text, text)
            if full not in self.listed:
                self.listed.append(full)
            numbers.append(self.listed.index(full) + 1)
        return f"[{', '.join(str(number) for number in sorted(numbers))}]" if numbers else ""

    def of_method(self, method: str) -> str:
        """A method's name with the references that go with it."""
        keys = [key for word, key in _BY_METHOD.items() if word in method]
        return f"{method} {self(*keys)}" if keys else method


def methods_section(
    run: dict[str, Any] | None,
    results: dict[str, Any] | None,
    comparison: dict[str, Any] | None,
    metadata: dict[str, Any],
) -> dict[str, list[str]] | None:
    """Paragraphs and numbered references; None when nothing was computed."""
    cite = Citations()
    paragraphs: list[str] = []
    if run is not None:
        paragraphs.append(_inference(run, metadata, cite))
    if results is not None:
        for part in (_cohort, _figures, _free_response, _operating_points, _calibration, _multilabel, _curves):
            paragraphs += part(results, cite)
        paragraphs += _subgroups(results, cite)
        paragraphs += _registration(results, cite)
    if comparison:
        unit = unit_words(results)[0] if results else "case"
        paragraphs += _comparison(comparison, unit, cite)
    if results is not None and results.get("reader_study"):
        paragraphs += _reader_study(results["reader_study"], cite)
    return {"paragraphs": paragraphs, "references": cite.listed} if paragraphs else None


_RADIOGRAPHS = (
    "DICOM pixels passed through the modality and VOI transformations of the standard, MONOCHROME1 was inverted, and grey "
    "values were scaled between the 1st and 99th percentile."
)
_VOLUMES = (
    "Volumes were turned to RAS+ axes, each cropped to the body part, resampled to the network's grid and scaled to [0, 1]; "
    "fields were brought to the fixed image's own grid through world coordinates, and images and labels were warped once."
)


def _inference(run: dict[str, Any], metadata: dict[str, Any], cite: Citations) -> str:
    identity, versions = run["identity"], run["versions"]
    options = [f"{key} {value}" for key, value in identity["options"].items()]
    weights = [f"weights with SHA-256 {identity['weights_sha256'][:16]}..."] if identity["weights_sha256"] else []
    settings = f" ({'; '.join([', '.join(options), *weights] if options else weights)})" if options or weights else ""
    name = " ".join(part for part in (identity["bundle"], metadata.get("version", "")) if part)
    method = cite(*metadata.get("references", []))
    registers = {"fixed", "moving"} <= metadata.get("network_data_format", {}).get("inputs", {}).keys()
    done = "Pairs of volumes were registered" if registers else "Images were read and scored"
    return (
        f"{done} with medpipe {versions['medpipe']} and its bundle {name}{settings}"
        f"{' ' + method if method else ''} on PyTorch {versions.get('torch', '(version unknown)')} and MONAI "
        f"{versions.get('monai', '(version unknown)')} {cite('monai')}. {_VOLUMES if registers else _RADIOGRAPHS}"
    )


def _cohort(results: dict[str, Any], cite: Citations) -> list[str]:
    cohort, labels = results["cohort"], class_labels(results)
    unit, patient = unit_words(results)
    text = f"Of {plural(cohort['listed'], unit)} listed, {count(cohort['analysed'])} were analysed"
    if cohort["patients"]:
        text += f" ({plural(cohort['patients'], patient)})"
    if cohort["diseased"] + cohort["nondiseased"]:
        text += f": {count(cohort['diseased'])} {labels[0]} and {count(cohort['nondiseased'])} {labels[1]}"
    if cohort["without_result"]:
        text += f"; {plural(len(cohort['without_result']), unit)} without a result {_were(cohort)} left out"
    return [text + "."]


def _were(cohort: dict[str, Any]) -> str:
    return "was" if len(cohort["without_result"]) == 1 else "were"


def _figures(results: dict[str, Any], cite: Citations) -> list[str]:
    figures = results["headline"]
    if not figures:
        return []
    return [" ".join([*Notes(figures).definitions, *_intervals(figures, cite)])]


def _intervals(figures: list[dict[str, Any]], cite: Citations) -> list[str]:
    """How the intervals were made, a sentence for each way."""
    methods: dict[str, list[str]] = {}
    for figure in figures:
        methods.setdefault(f"{100 * figure['level']:g} % intervals by {cite.of_method(figure['method'])}", []).append(
            figure["name"]
        )
    return [f"{method}{': ' + joined(names) if len(methods) > 1 else ''}." for method, names in methods.items()]


def _free_response(results: dict[str, Any], cite: Citations) -> list[str]:
    froc = results.get("froc")
    if not froc:
        return []
    cohort = results["cohort"]
    convention = f" ({froc['convention']})" if froc.get("convention") else ""
    text = (
        f"{results.get('hit_rule', '')} Free-response analysis{convention} followed Chakraborty {cite('jafroc', 'wafroc')}; "
        f"sensitivities at given false positives per image {cite('luna16')} were interpolated ({froc['interpolation']}) "
        f"between operating points, with intervals by {cite.of_method(froc['mean']['method'])}."
    )
    if cohort.get("lesions"):
        text += f" {plural(cohort['lesions'], 'lesion')} counted."
    if cohort.get("diseased_without_known_place"):
        number = plural(cohort["diseased_without_known_place"], "diseased case")
        text += f" {number} with lesions of unknown place took no part in it."
    if results["data"].get("minimum_lesion"):
        text += f" Mask components below {results['data']['minimum_lesion']:g} of an image were left out."
    return [text.strip()]


def _operating_points(results: dict[str, Any], cite: Citations) -> list[str]:
    points = results.get("operating_points", [])
    if not points:
        return []
    rules = "; ".join(f"{point['name']}, {point['rule']}" for point in points)
    method = cite.of_method(points[0]["sensitivity"]["method"])
    return [
        f"Operating points: {rules}. Intervals of sensitivity and specificity: {method}. Predictive values at another "
        f"prevalence follow from Bayes' theorem; their limits join those of sensitivity and specificity by the method of "
        f"variance estimates recovery on the logarithm of the likelihood ratio {cite('mover')}."
    ]


def _calibration(results: dict[str, Any], cite: Citations) -> list[str]:
    calibration = results.get("calibration")
    if not calibration or not calibration["figures"]:
        return []
    figures = calibration["figures"]
    parts = []
    for figure in figures:
        keys = [key for word, key in _CALIBRATION.items() if word in figure["name"]]
        name = f"{figure['name']} {cite(*keys)}" if keys else figure["name"]
        parts.append(definition_sentence(name, figure["definition"]))
    bins = f"The reliability diagram has {len(calibration['bins'])} bins."
    return [" ".join(["Calibration.", *parts, *_intervals(figures, cite), bins])]


def _multilabel(results: dict[str, Any], cite: Citations) -> list[str]:
    multilabel = results.get("multilabel")
    if not multilabel or not multilabel["classes"]:
        return []
    text = (
        f"The area under the ROC curve {cite('bamber')} was computed for each of {len(multilabel['classes'])} classes "
        f"(interval: {cite.of_method(multilabel['classes'][0]['auc']['method'])}) and averaged with equal weights."
    )
    if multilabel["undefined"]:
        text += f" Without cases of both kinds, and so left out of the mean: {', '.join(multilabel['undefined'])}."
    return [text]


def _curves(results: dict[str, Any], cite: Citations) -> list[str]:
    methods: dict[str, list[str]] = {}
    for name, curve in results["curves"].items():
        if curve.get("band"):
            band = curve["band"]
            methods.setdefault(f"{100 * band['level']:g} %, {cite.of_method(band['method'])}", []).append(name)
    return [
        f"Bands of the {joined(names)} curve{'s' if len(names) > 1 else ''}: {method}."
        for method, names in methods.items()
    ]


def _subgroups(results: dict[str, Any], cite: Citations) -> list[str]:
    groups = [group for group in results.get("subgroups", []) if group["groups"]]
    if not groups:
        return []
    variables, figures = (joined(list(dict.fromkeys(group[key] for group in groups))) for key in ("variable", "figure"))
    return [f"{figures} by {variables}; intervals of subgroups are not adjusted for their number."]


def _registration(results: dict[str, Any], cite: Citations) -> list[str]:
    found = results.get("registration")
    if not found:
        return []
    keys = {"rcn": ("rcn",), "l2r": ("learn2reg",)}.get(found["protocol"], ())
    text = f"Registration was measured so: {found['description']} {cite(*keys)}".strip() + "."
    known = {entry["key"] for entry in found["measures"]}
    by_measure = {
        "dice": ("Overlap", "dice"),
        "hd95_voxel": ("Surface distances by area", "surface_distance"),
        "tre": ("Landmark errors", "tre"),
    }
    cited = [f"{name} {cite(key)}" for measure, (name, key) in by_measure.items() if measure in known]
    if cited:
        text += f" {joined(cited)} follow their publications."
    if any("both its subjects" in entry["after"]["method"] for entry in found["measures"]):
        text += f" Pairs share subjects, which were resampled {cite('pigeonhole')}: a pair counts as often as both its subjects are drawn."
    return [text]


def _comparison(comparison: dict[str, Any], unit: str, cite: Citations) -> list[str]:
    tests = dict.fromkeys(row["test"] for row in comparison["figures"])
    return [
        f"{comparison['first']} and {comparison['second']} were compared on the same {plural(comparison['n'], unit)}; "
        f"differences are first minus second. Tests: {'; '.join(cite.of_method(test) for test in tests)}."
    ]


def _reader_study(study: dict[str, Any], cite: Citations) -> list[str]:
    tests = [test for test in study["tests"].values() if test]
    methods = [name for name in METHODS if any(name in test for test in tests)]
    kinds = [
        name
        for name in GENERALISATIONS
        if any(name in (test.get(method) or {}) for test in tests for method in methods)
    ]
    keys = {"OR": ("or", "hillis"), "DBM": ("dbm", "hillis")}
    text = (
        f"A {study['type']} study with {plural(len(study['readers']), 'reader')} and "
        f"{plural(len(study['modalities']), 'modality', 'modalities')}. Figures of merit: "
        f"{', '.join(study['figures_of_merit'])}."
    )
    if methods:
        named = " and ".join(f"{METHODS[name]} {cite(*keys[name])}" for name in methods)
        text += (
            f" Modalities were compared by the analyses of {named}, for {joined([GENERALISATIONS[k] for k in kinds])}."
        )
    if any(name in ("AFROC", "wAFROC", "AFROC1", "wAFROC1") for name in study["figures_of_merit"]):
        text += f" AFROC and weighted AFROC figures of merit follow Chakraborty {cite('jafroc', 'wafroc')}."
    if study.get("covariance"):
        text += f" Covariances: {study['covariance']}."
    return [text]
