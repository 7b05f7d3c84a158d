"""What tests of evaluations share."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from medpipe.predictions.results import FORMAT


@pytest.fixture(scope="session")
def valid() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Function that checks results against the schema that is shipped, as they stand in the file, and returns them."""
    text = importlib.resources.files("medpipe.predictions").joinpath("results.schema.json").read_text(encoding="utf-8")
    validator = jsonschema.Draft202012Validator(json.loads(text))

    def check(results: dict[str, Any]) -> dict[str, Any]:
        stored = json.loads(json.dumps({"format": FORMAT, "data": {"name": "x"}, **results}, allow_nan=False))
        validator.validate(stored)
        return stored

    return check
