"""Reading and comparing weights files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from medpipe.networks.state_dicts import check_flat, check_state_dict, read_state_dict

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.zeros(2)}


class Foreign:
    """Stands for code inside a pickle."""


def test_both_formats_are_read(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth")
    save_file(STATE, tmp_path / "w.safetensors")
    for path in (tmp_path / "w.pth", str(tmp_path / "w.safetensors")):
        read = read_state_dict(path)
        assert set(read) == set(STATE)
        assert all(torch.equal(read[name], STATE[name]) for name in STATE)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        read_state_dict(tmp_path / "nowhere.pth")


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    torch.save({"a": Foreign()}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"no file of torch.save that holds tensors alone; nothing else is read$"):
        read_state_dict(tmp_path / "w.pth")


def test_of_a_checkpoint_the_state_dict_is_taken(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "epoch": 3, "rng_state": torch.get_rng_state()}, tmp_path / "w.pth")
    assert set(read_state_dict(tmp_path / "w.pth")) == set(STATE)


def test_another_nested_checkpoint_is_refused_with_its_entries(tmp_path: Path) -> None:
    torch.save({"weights": STATE, "epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth.*no tensors: weights, epoch\. .*hand over the part"):
        read_state_dict(tmp_path / "w.pth")


def test_something_else_than_a_mapping_is_refused() -> None:
    with pytest.raises(ValueError, match=r"file: expected a state dict .*, found list"):
        check_flat([1], "file")


def test_equal_names_and_shapes_pass() -> None:
    check_state_dict(STATE, dict(STATE), source="file")
    check_state_dict({"a.weight": STATE["a.weight"]}, STATE, source="file", may_lack={"a.bias"})


def test_all_three_kinds_of_difference_are_listed() -> None:
    found = {"a.weight": torch.zeros(3, 2), "b": torch.zeros(1)}
    with pytest.raises(ValueError, match="does not fit") as raised:
        check_state_dict(found, STATE, source="file")
    message = str(raised.value)
    assert message.startswith("file does not fit the network; ")
    assert "1 missing: a.bias" in message
    assert "1 unexpected: b" in message
    assert "1 of another shape: a.weight (found (3, 2), expected (2, 3))" in message


def test_long_lists_are_counted() -> None:
    expected = {f"n{i}": torch.zeros(1) for i in range(25)}
    with pytest.raises(ValueError, match=r"25 missing: n0, .*n19 and 5 more$"):
        check_state_dict({}, expected, source="file")
