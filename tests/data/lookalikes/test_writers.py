from pathlib import Path

import pytest

from medpipe.data.lookalikes import LOOKALIKES, lookalike_writer
from medpipe.data.lookalikes.marker import read_marker
from medpipe.errors import InputDataError, RequestError


@pytest.mark.parametrize("name", LOOKALIKES)
def test_every_look_alike_can_be_written_and_is_marked(tmp_path: Path, name: str) -> None:
    lookalike_writer(name)(tmp_path / "out", cases=1, seed=0, size=64)
    marker = read_marker(tmp_path / "out")
    assert marker is not None
    assert (marker["name"], marker["generated"]) == (name, True)


def test_an_unknown_name_brings_the_nearest() -> None:
    with pytest.raises(RequestError, match="did you mean siim_acr"):
        lookalike_writer("siim")


def test_a_folder_without_a_marker_has_none_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    assert read_marker(tmp_path) is None
    (tmp_path / "LOOKALIKE.json").write_text("[1]")
    with pytest.raises(InputDataError, match=r"LOOKALIKE\.json"):
        read_marker(tmp_path)
