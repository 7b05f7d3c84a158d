"""Look a bundle over before it runs: files, metadata, and the code that its configs name.

A bundle is code: ``_target_`` imports and calls, ``$`` evaluates. What is inside the allow-list below builds and runs
networks, transforms and engines; everything else is listed, so that a person can decide to trust it.
"""

from __future__ import annotations

import ast
import json
import pydoc
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medpipe.bundles import Bundle, bundles_folder, read_config
from medpipe.errors import RequestError, UntrustedBundleError

__all__ = ["BundleFinding", "check_bundle", "metadata_schema", "require_trust", "static_findings"]

_TARGETS = (
    *(
        f"medpipe.{room}."
        for room in ("batch", "engines", "evaluation", "losses", "metrics", "networks", "reports", "transforms")
    ),
    "medpipe.data.cases.",
    "medpipe.data.class_balance.",
    "medpipe.data.meta_manifest.images_by_class",
    "medpipe.data.meta_manifest.meta_fingerprint",
    "medpipe.data.meta_refinement.Refinement",
    "medpipe.data.meta_split.split_meta",
    "medpipe.data.question_cases.",
    "medpipe.data.question_sets.",
    "medpipe.data.registration_cases.",
    "medpipe.io.cases.",
    "medpipe.io.folders.empty_folder",
    "medpipe.io.pairs.",
    "medpipe.io.privacy.PatientWords",
    "medpipe.predictions.answer_calibration.fitted_questions",
    "medpipe.predictions.answer_calibration.stored_calibration",
    "medpipe.predictions.answers.write_answers",
    "medpipe.predictions.challenge_boxes.ChallengeBoxes",
    "medpipe.predictions.run_folder.RunFolder",
    "ignite.engine.",
    "ignite.handlers.",
    "ignite.metrics.",
    *(f"monai.{room}." for room in ("data", "engines", "handlers", "inferers", "losses", "metrics", "networks")),
    *(f"monai.{room}." for room in ("optimizers", "transforms", "visualize")),
    "monai.utils.set_determinism",
    "torch.device",
    "torch.nn.",
    "torch.optim.",
    "torch.utils.data.",
)
_IMPORTS = {"torch", "monai", "ignite", "medpipe", "sys", "math", "os.path", "pathlib"}
_CALLS = {"len", "max", "min", "int", "float", "str", "range", "list", "bool", "abs", "round", "sum", "sorted", "dict"}
_MODULE_CALLS = {"torch.device", "torch.cuda.is_available", "sys.stderr.isatty", "os.path.join", "pathlib.Path"}
_NODES = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Attribute, ast.Call, ast.keyword, ast.BinOp, ast.UnaryOp,
    ast.operator, ast.unaryop, ast.IfExp, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop, ast.List, ast.Tuple, ast.Dict,
    ast.Subscript,
)  # fmt: skip
_FILES = ("configs/metadata.json", "configs/inference.yaml", "docs/README.md", "LICENSE")


@dataclass(frozen=True)
class BundleFinding:
    """Something to know about a bundle: ``severity`` "error", "code" (outside the allow-list) or "note"."""

    severity: str
    place: str
    message: str


def require_trust(bundle: Bundle, *, trust: bool) -> None:
    """Refuse to run a foreign bundle that names code outside the allow-list, unless it is trusted.

    Raises:
        UntrustedBundleError: The message names the first such places.
    """
    if trust or bundles_folder().resolve() in bundle.root.resolve().parents:
        return
    code = [f"{finding.place} {finding.message}" for finding in static_findings(bundle) if finding.severity == "code"]
    if code:
        raise UntrustedBundleError(
            f"bundle '{bundle.name}' runs code outside the allow-list ({'; '.join(code[:3])}); "
            f"look at it with 'medpipe check {bundle.root}' and add --trust if you trust its source"
        )


def metadata_schema() -> dict[str, Any]:
    """The JSON schema that metadata.json must follow; it ships with medpipe, so that no network is needed."""
    path = Path(__file__).with_name("bundle_metadata.schema.json")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def check_bundle(bundle: Bundle) -> list[BundleFinding]:
    """All findings that need no code of the bundle to run."""
    return [*_file_findings(bundle), *_metadata_findings(bundle), *static_findings(bundle), *_agreement(bundle)]


def _file_findings(bundle: Bundle) -> Iterator[BundleFinding]:
    for name in _FILES:
        if not (bundle.root / name).is_file():
            yield BundleFinding("error", name, "is missing")
    if not bundle.weights.is_file():
        yield BundleFinding("note", "models/model.pt", "no weights are shipped; train the bundle or give weights=FILE")
    for path in sorted(bundle.root.rglob("*")):
        if path.suffix in (".py", ".pkl", ".pickle"):
            yield BundleFinding("code", path.relative_to(bundle.root).as_posix(), "code or pickle inside the bundle")


def _metadata_findings(bundle: Bundle) -> Iterator[BundleFinding]:
    import jsonschema

    try:
        metadata = bundle.metadata()
    except RequestError as error:
        yield BundleFinding("error", "configs/metadata.json", str(error))
        return
    for problem in jsonschema.Draft202012Validator(metadata_schema()).iter_errors(metadata):
        place = "/".join(str(part) for part in problem.absolute_path)
        yield BundleFinding("error", f"configs/metadata.json {place}".strip(), problem.message[:200])
    if metadata.get("version") not in metadata.get("changelog", {}):
        yield BundleFinding("error", "configs/metadata.json changelog", "does not list the present version")


def static_findings(bundle: Bundle) -> Iterator[BundleFinding]:
    """Every import, expression and target of the configs that is outside the allow-list."""
    for path in sorted((bundle.root / "configs").glob("*")):
        if path.suffix not in (".yaml", ".yml", ".json"):
            continue
        try:
            config = read_config(path)
        except RequestError as error:
            yield BundleFinding("error", f"configs/{path.name}", str(error))
            continue
        for key, value in _leaves(config):
            if problem := _problem(key, value):
                yield BundleFinding("code", f"configs/{path.name} {key}", problem)


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{prefix}#{key}" if prefix else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _leaves(value, f"{prefix}#{index}")
    else:
        yield prefix, node


def _problem(key: str, value: Any) -> str:
    if not isinstance(value, str):
        return ""
    if key.split("#")[-1] == "_target_":
        return "" if _is_known_target(value) else f"calls {value}"
    if value.startswith("$"):
        return "" if _is_plain_expression(value[1:]) else f"evaluates {value[1:]}"
    return f"includes the file {value[1:]}" if value.startswith("%") and "/" in value else ""


def _is_known_target(name: str) -> bool:
    """Whether a target is on the list, and is defined there: ``monai.x.os.system`` only passes through it."""
    if name in _TARGETS:
        return True
    if not name.startswith(tuple(target for target in _TARGETS if target.endswith("."))):
        return False
    found = pydoc.locate(name)
    home = getattr(found, "__module__", None)
    return callable(found) and isinstance(home, str) and home.split(".")[0] == name.split(".")[0]


def _is_plain_expression(text: str) -> bool:
    """Whether an expression only imports known modules, or computes with references and harmless calls."""
    text = text.strip()
    if match := re.fullmatch(r"import ([\w., ]+)", text):
        return all(name.strip() in _IMPORTS for name in match.group(1).split(","))
    try:
        tree = ast.parse(re.sub(r"@(\w[\w#:]*)", lambda m: "ref_" + re.sub(r"\W", "_", m.group(1)), text), mode="eval")
    except SyntaxError:
        return False
    return all(_is_plain_node(node) for node in ast.walk(tree))


def _is_plain_node(node: ast.AST) -> bool:
    if not isinstance(node, _NODES):
        return False
    if isinstance(node, ast.Attribute):
        return not node.attr.startswith("_")
    if isinstance(node, ast.Subscript):  # an entry of what a reference gives, by a name or number that is written out
        return (
            ast.unparse(node.value).startswith("ref_")
            and isinstance(node.value, ast.Name)
            and isinstance(node.slice, ast.Constant)
        )
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        return name in _CALLS or name in _MODULE_CALLS or name.startswith("ref_")
    return True


def _agreement(bundle: Bundle) -> Iterator[BundleFinding]:
    """The network of inference must be the one that was trained."""
    try:
        trained, used = (bundle.config(mode).get("network_def") for mode in ("train", "infer"))
    except RequestError:
        return
    if trained != used:
        yield BundleFinding("error", "configs network_def", "differs between train.yaml and inference.yaml")
