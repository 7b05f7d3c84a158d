"""The routing file: which studies go to which bundle, and where results are sent.

routes:
  - name: chest                     # a short name, also of the results folder
    when: {Modality: [CR, DX]}      # DICOM keywords; one instance of the study must match them all
    bundle: cxr_pneumothorax_acm
    options: {num_workers: 1}       # overrides of the bundle's configuration
    dicom: [sr, seg]                # DICOM objects to make of the results
    send:
      - {ae_title: ORTHANC, host: 127.0.0.1, port: 4242}
      - {stow: "http://127.0.0.1:8042/dicom-web"}
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.errors import RequestError

__all__ = ["Destination", "Route", "ae_title_of", "read_routes"]

_KEYS = {"name", "when", "bundle", "options", "dicom", "send"}
_OBJECTS = ("sr", "pr", "sc", "seg")


@dataclass(frozen=True)
class Destination:
    """Where results go: an application entity (``ae_title``, ``host``, ``port``), or the address of a STOW-RS service."""

    ae_title: str = ""
    host: str = ""
    port: int = 0
    stow: str = ""

    def __str__(self) -> str:
        return re.sub("//[^/]*@", "//", self.stow) or f"{self.ae_title}@{self.host}:{self.port}"


@dataclass(frozen=True)
class Route:
    """One rule of the routing file; attributes as there, ``when`` with lists of accepted values."""

    name: str
    bundle: str
    when: dict[str, list[str]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    dicom: tuple[str, ...] = ()
    send: tuple[Destination, ...] = ()

    def matches(self, headers: Iterable[dict[str, str]]) -> bool:
        """Whether one instance has an accepted value of every keyword; letters' case does not matter."""
        return any(
            all(header.get(keyword, "").strip().upper() in accepted for keyword, accepted in self._wanted.items())
            for header in headers
        )

    @property
    def _wanted(self) -> dict[str, set[str]]:
        return {keyword: {value.strip().upper() for value in values} for keyword, values in self.when.items()}


def read_routes(path: Path) -> list[Route]:
    """Read a routing file.

    Raises:
        RequestError: It is missing, no YAML, or a rule has an unknown key, keyword, bundle object or destination; the message
            names the rule and the key.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RequestError(f"routing file '{path}' cannot be read ({error})") from error
    rules = content.get("routes") if isinstance(content, dict) else None
    if not isinstance(rules, list) or not rules or set(content) != {"routes"}:
        raise RequestError(f"routing file '{path}': expected the one key 'routes' with a list of at least one rule")
    routes = [_route(rule, f"routing file '{path}', rule {number}") for number, rule in enumerate(rules, start=1)]
    names = [route.name for route in routes]
    if len(set(names)) < len(names):
        raise RequestError(f"routing file '{path}': each rule needs a name of its own, found {names}")
    return routes


def _route(rule: Any, where: str) -> Route:
    if not isinstance(rule, dict):
        raise RequestError(f"{where}: expected keys and values, found {rule!r}")
    unknown = sorted(set(rule) - _KEYS)
    if unknown:
        raise RequestError(f"{where}: unknown key '{unknown[0]}'; choose from {', '.join(sorted(_KEYS))}")
    name, bundle = str(rule.get("name", "")), str(rule.get("bundle", ""))
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise RequestError(f"{where}: name '{name}' must have 1 to 64 letters, digits, '_' or '-'")
    if not bundle:
        raise RequestError(f"{where}: 'bundle' is missing")
    objects, options = rule.get("dicom") or [], rule.get("options") or {}
    if not isinstance(objects, list) or not isinstance(options, dict):
        raise RequestError(f"{where}: 'dicom' is a list, as [sr, sc], and 'options' has keys and values")
    wrong = [value for value in objects if value not in _OBJECTS]
    if wrong:
        raise RequestError(f"{where}: 'dicom' has '{wrong[0]}'; choose from {', '.join(_OBJECTS)}")
    send = rule.get("send") or []
    if not isinstance(send, list):
        raise RequestError(f"{where}: 'send' is a list of destinations")
    destinations = tuple(_destination(value, f"{where}, send") for value in send)
    return Route(name, bundle, _when(rule.get("when") or {}, where), dict(options), tuple(objects), destinations)


def _when(value: Any, where: str) -> dict[str, list[str]]:
    from pydicom.datadict import tag_for_keyword

    if not isinstance(value, dict):
        raise RequestError(f"{where}: 'when' has DICOM keywords with accepted values")
    for keyword in value:
        if tag_for_keyword(str(keyword)) is None:
            raise RequestError(f"{where}: '{keyword}' is no DICOM keyword, such as Modality or BodyPartExamined")
    return {str(k): [str(v) for v in (values if isinstance(values, list) else [values])] for k, values in value.items()}


def _destination(value: Any, where: str) -> Destination:
    if isinstance(value, dict) and set(value) == {"stow"} and str(value["stow"]).startswith(("http://", "https://")):
        return Destination(stow=str(value["stow"]))
    if isinstance(value, dict) and set(value) == {"ae_title", "host", "port"} and str(value["port"]).isdigit():
        if not 0 < int(value["port"]) < 65536:
            raise RequestError(f"{where}: port {value['port']} must be between 1 and 65535")
        return Destination(ae_title_of(str(value["ae_title"])), str(value["host"]), int(value["port"]))
    raise RequestError(f"{where}: expected ae_title, host and port, or stow with an address; found {value!r}")


def ae_title_of(text: str) -> str:
    """An application entity title without outer blanks (PS3.5 section 6.2, AE).

    Raises:
        RequestError: It is none.
    """
    if not re.fullmatch(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?", text.strip()):
        raise RequestError(
            f"application entity title '{text}' must have 1 to 16 ASCII characters, none of them a backslash"
        )
    return text.strip()
