"""List, inspect and run MONAI bundles. Nothing here imports MONAI before a bundle is run."""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
import shlex
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from medpipe.errors import InterruptedRunError, RequestError

__all__ = [
    "Bundle",
    "build_workflow",
    "bundles_folder",
    "find_bundle",
    "hush",
    "list_bundles",
    "monai_command",
    "parse_overrides",
    "run_bundle",
]

MODES = {
    "train": ("train.yaml",),
    "infer": ("inference.yaml",),
    "evaluate": ("inference.yaml", "evaluate.yaml"),
}
"""Config files of each mode, merged in order. Evaluation is inference on labelled cases, so it overlays inference."""

_SEPARATOR = re.compile(r"::|#|\.")


@dataclass(frozen=True)
class Bundle:
    """A bundle's folder, in MONAI's layout.

    Attributes:
        root: The folder.
        overlays: Names of further config files that are merged over those of the mode, in order.
    """

    root: Path
    overlays: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.name

    @property
    def weights(self) -> Path:
        """The weight file that the bundle ships, if it does."""
        return self.root / "models" / "model.pt"

    def config_files(self, mode: str) -> list[Path]:
        """Config files of "train", "infer" or "evaluate", then the overlays.

        Raises:
            RequestError: The bundle has no such mode, or no such overlay; the message lists those it has.
        """
        files = [self.root / "configs" / name for name in MODES[mode]]
        for file in files:
            if not file.is_file():
                raise RequestError(f"bundle '{self.name}' cannot {mode}: it has no configs/{file.name}")
        known = {path.stem: path for path in sorted((self.root / "configs").glob("*.yaml"))}
        for name in self.overlays:
            if name not in known:
                raise RequestError(f"bundle '{self.name}' has no config '{name}'; it has {', '.join(known)}")
        return files + [known[name] for name in self.overlays if known[name] not in files]

    def metadata(self) -> dict[str, Any]:
        """Content of configs/metadata.json."""
        path = self.root / "configs" / "metadata.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RequestError(f"'{self.root}' is no bundle: configs/metadata.json cannot be read") from error
        except ValueError as error:
            raise RequestError(f"'{path}' is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise RequestError(f"'{path}' must hold a JSON object")
        return content

    def config(self, mode: str) -> dict[str, Any]:
        """The merged configuration of a mode, unresolved, as MONAI merges a list of files."""
        merged: dict[str, Any] = {}
        for file in self.config_files(mode):
            merged.update(read_config(file))
        return merged


def read_config(path: Path) -> dict[str, Any]:
    """Read one YAML or JSON config without evaluating anything in it.

    Raises:
        RequestError: It is no valid YAML or JSON, or no mapping; the message names file and line.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"config '{path}' cannot be read ({error})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RequestError(f"config '{path}'{where}: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(content, dict):
        raise RequestError(f"config '{path}' must hold a mapping of names, not a {type(content).__name__}")
    return content


def resource_folder(name: str) -> Path:
    """A folder that ships with the package: in the wheel beside the modules, in a checkout beside the package."""
    package = Path(__file__).parent
    installed = package / "_resources" / name
    return installed if installed.is_dir() else package.parent / name


def bundles_folder() -> Path:
    """Where the bundles are that ship with medpipe."""
    return resource_folder("bundles")


def list_bundles() -> list[Bundle]:
    """The bundles that ship with medpipe, by name."""
    return [Bundle(path.parents[1]) for path in sorted(bundles_folder().glob("*/configs/metadata.json"))]


def find_bundle(name: str) -> Bundle:
    """A bundle by name, or by the path of its folder.

    Raises:
        RequestError: There is none; the nearest names are given.
    """
    known = {bundle.name: bundle for bundle in list_bundles()}
    if name in known:
        return known[name]
    if (Path(name) / "configs" / "metadata.json").is_file():
        return Bundle(Path(name).resolve())
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    raise RequestError(f"no bundle named '{name}', and no bundle folder of that path; {hint}")


def parse_overrides(texts: Iterable[str], config: dict[str, Any]) -> dict[str, Any]:
    """Read ``key=value`` overrides and check their keys against a config.

    Keys are dotted paths (``optimizer.lr``; MONAI's ``#`` and ``::`` do as well). Values are YAML: numbers, true,
    false, null, [lists], anything else is text.

    Returns:
        Values by MONAI id.

    Raises:
        RequestError: No "=", or a key that the config does not have; the nearest keys are given.
    """
    overrides: dict[str, Any] = {}
    names = sorted(_paths(config))
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise RequestError(f"override '{text}' is not of the form key=value")
        path = _SEPARATOR.sub(".", key.strip())
        if path not in names:
            near = difflib.get_close_matches(path, names, n=3, cutoff=0.6)
            top = [name for name in names if "." not in name]
            hint = f"did you mean {' or '.join(near)}?" if near else f"the config has {', '.join(top)}"
            raise RequestError(f"the config has no '{path}'; {hint}")
        overrides[path.replace(".", "::")] = _value(text, value, _at(config, path))
    return overrides


def _value(text: str, value: str, default: Any) -> Any:
    """The value of an override, of the kind that its default has."""
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RequestError(f"value of override '{text}' is not valid YAML; quote it") from error
    if isinstance(read, str) and re.fullmatch(r"[-+]?[0-9.]+[eE][-+]?[0-9]+", read):
        read = float(read)  # YAML 1.1 takes 1e-3 for text
    computed = isinstance(default, str) and default.startswith(("$", "@", "%"))
    if default is None or computed:
        return read
    if read is None:
        raise RequestError(f"override '{text}' has no value, and MONAI would leave it out in silence")
    kinds = {bool: "true or false", int: "a whole number", float: "a number", list: "a list", dict: "a mapping"}
    for kind, words in kinds.items():
        if isinstance(default, kind):
            fits = isinstance(read, kind) or (kind is float and isinstance(read, int))
            if not fits or (isinstance(read, bool) and kind is not bool):
                raise RequestError(f"override '{text}' must be {words}; the default is {default}")
            return read
    return str(value) if isinstance(default, str) and not isinstance(read, str | list) else read


def _at(config: Any, path: str) -> Any:
    for key in path.split("."):
        config = config[int(key)] if isinstance(config, list) else config[key]
    return config


def _paths(node: Any, prefix: str = "") -> Iterable[str]:
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(node, dict):
        items = node.items()
    elif isinstance(node, list):
        items = enumerate(node)
    for key, value in items:
        path = f"{prefix}{key}"
        if key not in ("_target_", "_mode_"):
            yield path
            yield from _paths(value, f"{path}.")


def monai_command(bundle: Bundle, mode: str, overrides: dict[str, Any]) -> str:
    """The ``python -m monai.bundle run`` command that does the same as ``run_bundle``."""
    words = ["python", "-m", "monai.bundle", "run"]
    for key, value in _arguments(bundle, mode, overrides).items():
        words.append(f"--{key}={_fire(value)}")
    return shlex.join(words)


def _arguments(bundle: Bundle, mode: str, overrides: dict[str, Any]) -> dict[str, Any]:
    files = [str(file) for file in bundle.config_files(mode)]
    return {
        "config_file": files[0] if len(files) == 1 else files,
        "meta_file": str(bundle.root / "configs" / "metadata.json"),
        "logging_file": str(bundle.root / "configs" / "logging.conf"),
        "bundle_root": str(bundle.root),
        **overrides,
    }


def _fire(value: Any) -> str:
    """A value as Python Fire reads it back: text that it would take for something else is quoted."""
    from fire.parser import DefaultParseValue

    return value if isinstance(value, str) and DefaultParseValue(value) == value else repr(value)


def build_workflow(bundle: Bundle, mode: str, overrides: dict[str, Any]) -> Any:
    """A bundle's MONAI workflow with nothing of it built or run yet; its ``parser`` gives the parts by name."""
    hush()
    from monai.bundle import ConfigWorkflow

    arguments = {**_arguments(bundle, mode, overrides), "logging_file": False}
    return ConfigWorkflow(workflow_type="infer" if mode == "infer" else "train", **arguments)


def run_bundle(bundle: Bundle, mode: str, overrides: dict[str, Any]) -> None:
    """Run a bundle in this process, exactly as MONAI's own command line does.

    Raises:
        MedpipeError: As raised by a part of the bundle, freed from MONAI's wrapping.
        Exception: Anything else that a part of the bundle raised.
    """
    hush()
    from monai.bundle import create_workflow

    arguments = _arguments(bundle, mode, overrides)
    stage = "building"
    try:
        # The two steps of ``monai.bundle.run``: what fails while it builds is the request's fault, not the run's.
        workflow = create_workflow(**arguments)
        stage = "running"
        try:
            workflow.run()
        finally:
            workflow.finalize()  # also after an interruption: it releases what the run holds
    except Exception as error:
        chain = list(_causes(error))
        for cause in chain:
            if isinstance(cause, RequestError | InterruptedRunError):
                raise cause from error
        if stage == "building" and isinstance(chain[-1], ValueError | TypeError):
            first = str(chain[-1]).split("\n", 1)[0]
            raise RequestError(f"bundle '{bundle.name}' cannot be built: {first}; check the options") from error
        raise


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def hush() -> None:
    """Keep libraries' notices off the terminal: what concerns a case stands in its row, what stops a run is raised."""
    if not os.environ.get("MEDPIPE_DEBUG"):
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)


def absolute(paths: Sequence[str | Path]) -> str | list[str]:
    """Paths as MONAI configs take them: absolute, one alone or a list.

    Raises:
        RequestError: A path that MONAI would change.
    """
    full = [str(Path(path).expanduser().absolute()) for path in paths]
    for path in full:
        if "#" in path or "::" in path:
            raise RequestError(f"path '{path}' holds '#' or '::', which MONAI's configs read otherwise; rename it")
    return full[0] if len(full) == 1 else full
