"""medpipe demo"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medpipe.cli.common import EXIT, JsonOption, say

_BUNDLE = "cxr_pneumothorax_acm"


def run(
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder.")] = Path("medpipe_demo"),
    cases: Annotated[int, typer.Option("--cases", min=4, help="Number of generated radiographs.")] = 24,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same study.")] = 7,
    as_json: JsonOption = False,
) -> None:
    """Run the main job on a generated study: DICOM in, marks, pictures, scores and a report out.

    Writes a study folder (DICOM in several encodings, and files that are no sound radiographs), runs a bundle on it,
    scores the result against the generator's truth, and says where the report is.

    Example: [bold]medpipe demo[/bold]
    """
    from medpipe.bundles import find_bundle
    from medpipe.cli.infer import run_batch, summarise
    from medpipe.io.folders import empty_folder

    folder = empty_folder(output)
    say(f"Drawing a study of {cases} radiographs in {folder / 'generated'} ...")
    from medpipe.data.lookalikes.study import write_demo_study

    study = write_demo_study(folder / "generated", cases=cases, seed=seed)
    say("Running the bundle ...")
    bundle = find_bundle(_BUNDLE)
    out = folder / "out"
    given = {"dataset_dir": str(study.folder.absolute()), "output_dir": str(out.absolute())}
    run_batch(bundle, "infer", {**given, "weights": str(bundle.weights)})

    from medpipe.evaluation.localization import score_run
    from medpipe.metrics.matching import HitRule
    from medpipe.reports.page import write_report

    rule = HitRule("mask_distance", tolerance=1 / 32, unit="fraction")
    results = score_run(out, study.datalist, "test", rule, seed=seed, minimum_lesion=1e-4)
    write_report(out)
    code = summarise(out, as_json=as_json, also={"results": str(results)})
    # The study holds broken files on purpose, so a finished run of it is a success.
    raise typer.Exit(EXIT["done"] if code == EXIT["some failed"] else code)
