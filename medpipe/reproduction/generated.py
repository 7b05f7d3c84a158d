"""The generated data set of ``medpipe reproduce --quick``: a look-alike, drawn once and prepared."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medpipe.data import dataset_reader
from medpipe.data.any_datalist import write_any_datalist
from medpipe.data.lookalikes import lookalike_writer
from medpipe.errors import RequestError
from medpipe.reproduction.commands import Data
from medpipe.reproduction.plan import CONFIG, Quick

__all__ = ["check_recipe", "draw_data"]


def check_recipe(recipe: Quick) -> None:
    """Look whether the recipe can be followed.

    Raises:
        RequestError: There is no such look-alike or data set, or it takes no such option.
    """
    writer, reader = lookalike_writer(recipe.lookalike), dataset_reader(recipe.dataset)
    size = {} if recipe.size is None else {"size": recipe.size}
    for key, function, options in (
        ("synth_options", writer, {**size, **recipe.synth_options}),
        ("prepare_options", reader.prepare, recipe.prepare_options),
    ):
        foreign = sorted(options.keys() - inspect.signature(function).parameters.keys())
        if foreign:
            raise RequestError(
                f"{CONFIG}, quick/{key}: '{foreign[0]}' is no option of {recipe.lookalike}; leave it out"
            )


def draw_data(
    recipe: Quick, folder: Path, *, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> Data:
    """Draw the recipe's data set into a folder, unless it lies there; one that was left half drawn is drawn again.

    Args:
        recipe: What to draw.
        folder: Of this reproduction alone.
        workers: Processes that draw; the files do not depend on their number.
        progress: Called after each image with the number done and the number in all.

    Raises:
        RequestError: As ``check_recipe``, or it cannot be drawn.
    """
    check_recipe(recipe)
    data = Data(folder, folder / "datalist.json")  # the last file that is written
    if data.datalist.is_file():
        return data
    if folder.is_dir():
        shutil.rmtree(folder)
    size: dict[str, Any] = {} if recipe.size is None else {"size": recipe.size}
    lookalike_writer(recipe.lookalike)(
        folder,
        cases=recipe.cases,
        seed=recipe.seed,
        workers=workers,
        progress=progress,
        **size,
        **recipe.synth_options,
    )
    reader = dataset_reader(recipe.dataset)
    datalist = reader.prepare(folder, seed=recipe.split_seed, fractions=recipe.split, **recipe.prepare_options)
    write_any_datalist(datalist, data.datalist)
    return data
