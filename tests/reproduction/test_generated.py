"""The generated data set of a quick reproduction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medpipe.data.datalist import load_datalist
from medpipe.errors import RequestError
from medpipe.reproduction.generated import check_recipe, draw_data
from medpipe.reproduction.plan import load_plan


@pytest.fixture
def recipe(make_bundle):
    return load_plan(make_bundle()).quick


def test_the_data_are_drawn_split_and_kept(recipe, tmp_path) -> None:
    data = draw_data(recipe, tmp_path / "data")
    found = load_datalist(data.datalist)
    assert sum(len(found[part]) for part in ("training", "validation", "test")) == 12
    assert found["generated"] is True
    seen = []
    before = data.datalist.read_bytes()
    assert draw_data(recipe, tmp_path / "data", progress=lambda *now: seen.append(now)) == data
    assert (seen, data.datalist.read_bytes()) == ([], before)


def test_data_that_were_left_half_drawn_are_drawn_again(recipe, tmp_path) -> None:
    whole = draw_data(recipe, tmp_path / "data").datalist.read_bytes()
    (tmp_path / "data" / "datalist.json").unlink()
    (tmp_path / "data" / "train-rle.csv").unlink()
    assert draw_data(recipe, tmp_path / "data").datalist.read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lookalike": "siim_arc"}, "siim_acr"),
        ({"dataset": "siim_arc"}, "siim_acr"),
        ({"synth_options": {"anatomy": "liver"}}, "quick/synth_options: 'anatomy' is no option"),
        ({"prepare_options": {"lable": "x"}}, "quick/prepare_options: 'lable' is no option"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(recipe, change, message) -> None:
    with pytest.raises(RequestError, match=message):
        check_recipe(replace(recipe, **change))
