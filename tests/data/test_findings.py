import dataclasses

import pytest

from medpipe.data.findings import Finding, error, info, warning


def test_the_helpers_give_their_severity() -> None:
    assert error("a", "b") == Finding("a", "error", "b")
    assert warning("a", "b") == Finding("a", "warning", "b")
    assert info("a", "b") == Finding("a", "info", "b")


def test_a_finding_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        info("a", "b").code = "c"  # type: ignore[misc]
