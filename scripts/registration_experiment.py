"""What a teacher's fields are worth to a light student: train with and without them, and score subjects that neither saw.

    python scripts/registration_experiment.py ROOT DATALIST OUT [--seeds 0 1 2] [--cascades 1 2 3] [--teacher rcn|demons|refined|none]
        [--iterations 3000] [--teacher-iterations 5000] [--pairs 500] [--quick] [key=value ...]

ROOT and DATALIST are a registration data set with labels (`medpipe data prepare`). For each number of cascades a teacher is
trained once, or its fields are found without training (diffeomorphic demons; gradient steps on each pair), and the fields of the training pairs are stored; for each
seed a student is trained without it (none), towards its fields (l2), and adversarially (aldk). What is finished in OUT is not
done again, and what was interrupted goes on; with `--teacher none` there are students without one alone. OUT/pairs.csv has a row per test pair, OUT/table.md the means over the labels'
Dice in percent, with the gain over "none": its 95 % t interval over seeds, and its interval over pairs, resampling subjects,
of the mean over the seeds. Further key=value go to the students' training.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from scipy import stats

from medpipe.data.teacher_fields import field_path, write_teacher_field
from medpipe.engines.batches import pair_batch
from medpipe.engines.handlers.pair_metrics import PAIR_METRICS
from medpipe.losses.field_smoothness import FieldSmoothnessLoss
from medpipe.losses.volume_similarity import PearsonLoss
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.pair_cohort import PairCohort, comparisons_over_pairs
from medpipe.networks.blocks.warp import warp
from medpipe.networks.field_refinement import FieldRefinement
from medpipe.networks.ldr import LDR
from medpipe.networks.rcn import RCN
from medpipe.networks.weights import load_weights
from medpipe.transforms.volume_on_grid import VolumeOnGrid
from medpipe.transforms.volume_pairs import PairVolumes

NAME = "brain_mri_registration_ldr"
METHODS = ("none", "l2", "aldk")
PUBLISHED = {1: 3.4, 2: 4.0, 3: 3.1}
"""Gain in Dice points of aldk over none on SLIVER, by number of cascades (Tran et al., IEEE TMI 2022)."""

_WEIGHTS = ("label_weight", "smoothness_weight")
COLUMNS = ("cascades", "method", "seed", "fixed", "moving", "dice", "folding_percent")
Row = dict[str, str]


def train(given: argparse.Namespace, out: Path, *options: str) -> None:
    """Run `medpipe train`, which takes up or skips what is there."""
    data = [f"dataset_dir={given.root}", f"datalist={given.datalist}"]
    common = [f"{name}={getattr(given, name)}" for name in ("image_size", "body_part", *_WEIGHTS)]
    command = [sys.executable, "-m", "medpipe", "train", NAME, *data, *common, *options, "-o", str(out)]
    subprocess.run(command, check=True)


def pairs_of(given: argparse.Namespace, section: str, most: int) -> PairVolumes:
    on_grid = VolumeOnGrid(given.image_size, body_part=given.body_part, intensity="percentiles")
    return PairVolumes(given.datalist, given.root, section, on_grid=on_grid, most=most)


def teacher_fields(given: argparse.Namespace, cascades: int) -> Path:
    """The folder of a teacher's fields of the training pairs."""
    if given.teacher == "demons":
        return demons_fields(given, given.out / "demons_fields")
    if given.teacher == "refined":
        return refined_fields(given, given.out / "refined_fields")
    folder, size = (
        given.out / f"teacher_{cascades}",
        [
            f"n_cascades={cascades}",
            f"channels={given.teacher_channels}",
            f"base={given.teacher_base}",
            f"affine={given.teacher_affine}",
        ],
    )
    length = [f"max_epochs={given.epochs}", f"epoch_length={given.teacher_iterations // given.epochs}"]
    train(given, folder, "--config", "train_teacher", *size, *length, *given.teacher_options)
    weights, export = f"weights={folder / 'model.pt'}", given.out / f"fields_{cascades}"
    train(
        given, export, "--config", "train_teacher", "--config", "export_fields", *size, weights, f"pairs={given.pairs}"
    )
    return export / "fields"


def demons_fields(given: argparse.Namespace, folder: Path) -> Path:
    """Fields of SimpleITK's diffeomorphic demons, on the grid."""
    import SimpleITK

    folder.mkdir(parents=True, exist_ok=True)
    demons = SimpleITK.DiffeomorphicDemonsRegistrationFilter()
    demons.SetNumberOfIterations(given.demons_iterations)
    demons.SetSmoothDisplacementField(True)
    demons.SetStandardDeviations(1.5)
    for pair in pairs_of(given, "training", given.pairs):
        fixed, moving = pair["fixed_case"], pair["moving_case"]
        path = field_path(folder, fixed, moving)
        if not path.is_file():
            found = demons.Execute(
                *(SimpleITK.GetImageFromArray(pair[role][0].numpy()) for role in ("fixed", "moving"))
            )
            # ITK's axes and components run the other way round than the array's.
            field = np.moveaxis(SimpleITK.GetArrayFromImage(found)[..., ::-1], -1, 0)
            write_teacher_field(path, field, f"{fixed}-{moving}")
    return folder


class Refined(torch.nn.Module):
    """Gradient steps on the field of each pair, from rest."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.refinement = FieldRefinement(PearsonLoss(), FieldSmoothnessLoss(), steps=steps)

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor, *, stages: bool = True) -> SimpleNamespace:
        rest = torch.zeros(1, 3, *fixed.shape[2:])
        field = self.refinement(fixed, moving, rest)
        return SimpleNamespace(field=field, warped=warp(moving, field))


def refined_fields(given: argparse.Namespace, folder: Path) -> Path:
    """Fields by gradient steps on each pair, on the grid."""
    folder.mkdir(parents=True, exist_ok=True)
    for pair in pairs_of(given, "training", given.pairs):
        fixed, moving = pair["fixed_case"], pair["moving_case"]
        path = field_path(folder, fixed, moving)
        if not path.is_file():
            found = Refined(given.refinement_steps)(pair["fixed"][None], pair["moving"][None])
            write_teacher_field(path, found.field[0].numpy(), f"{fixed}-{moving}")
    return folder


def student(given: argparse.Namespace, cascades: int, method: str, seed: int, fields: Path) -> Path:
    """The folder of a trained student."""
    kind = "" if (given.channels, given.repeats) == (16, 1) else f"_{given.channels}channels_{given.repeats}times"
    out = given.out / f"student_{cascades}_{method}_{seed}{kind}"
    length = [f"max_epochs={given.epochs}", f"epoch_length={given.iterations // given.epochs}"]
    shape = [f"{name}={getattr(given, name)}" for name in ("repeats", "channels", "initial")]
    options = [f"n_cascades={cascades}", *shape, f"distillation={method}", f"seed={seed}", *length]
    train(given, out, *options, *([f"fields_dir={fields}"] if method != "none" else []), *given.options)
    return out


def scores(network: torch.nn.Module | None, pairs: PairVolumes, **names: object) -> Iterator[Row]:
    """A row per pair; no network leaves the moving image where it is."""
    for pair in pairs:
        batch = pair_batch({key: value[None] for key, value in pair.items() if isinstance(value, torch.Tensor)})
        with torch.no_grad():
            result = network(batch["fixed"], batch["moving"], stages=False) if network else Identity(batch)
        row = {"dice": PAIR_METRICS["dice"], "folding_percent": PAIR_METRICS["folding"]}
        values = {name: f"{float(metric(result, batch)):.6g}" for name, metric in row.items()}
        yield {**names, "fixed": pair["fixed_case"], "moving": pair["moving_case"], **values}


class Identity:
    """What a network that does nothing would return."""

    def __init__(self, batch: dict[str, torch.Tensor]) -> None:
        self.field, self.warped = torch.zeros_like(batch["field"]), batch["moving"]


def table(rows: list[Row], given: argparse.Namespace) -> str:
    """Means and gains in Markdown."""
    lines = [
        "| cascades | method | Dice % (mean over pairs, sd over seeds) | folding % | gain over none, t interval over seeds "
        "| gain, interval over pairs | published gain |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for cascades in given.cascades:
        for method in ("before", "teacher", *METHODS):
            dice, folding = (grid_of(rows, cascades, method, name) for name in ("dice", "folding_percent"))
            if not dice.size:
                continue
            seeds = 100 * dice.mean(axis=1)
            spread = f" (sd {seeds.std(ddof=1):.2f})" if len(seeds) > 1 else ""
            cells = [cascades, method, f"{seeds.mean():.2f}{spread}", f"{folding.mean():.3f}", "", "", ""]
            if method in ("l2", "aldk"):
                cells[4:6] = gains(rows, cascades, dice - grid_of(rows, cascades, "none", "dice"), given.seeds[0])
                cells[6] = f"{PUBLISHED[cascades]:+.1f}" if method == "aldk" and cascades in PUBLISHED else ""
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def gains(rows: list[Row], cascades: int, gain: np.ndarray, seed: int) -> list[str]:
    """The gain in Dice points with its interval over seeds, and over pairs; ``gain`` is (seeds, pairs)."""
    of_seeds, count = 100 * gain.mean(axis=1), len(gain)
    over_seeds = f"{of_seeds.mean():+.2f}"
    if count > 1:
        half = stats.t.ppf(0.975, count - 1) * of_seeds.std(ddof=1) / np.sqrt(count)
        over_seeds += f" ({of_seeds.mean() - half:+.2f} to {of_seeds.mean() + half:+.2f})"
    first = [row for row in rows if (row["cascades"], row["method"]) == (str(cascades), "none")]
    first = [row for row in first if row["seed"] == first[0]["seed"]]
    cohort = PairCohort.of([(row["fixed"], row["moving"]) for row in first])
    values = 100 * gain.mean(axis=0)[:, None]
    difference = comparisons_over_pairs(values, np.zeros_like(values), cohort, Bootstrap(2000, seed))[0].difference
    return [over_seeds, f"{difference.value:+.2f} ({difference.low:+.2f} to {difference.high:+.2f})"]


def grid_of(rows: list[Row], cascades: int, method: str, name: str) -> np.ndarray:
    """(seeds, pairs) of one column."""
    chosen = [row for row in rows if (row["cascades"], row["method"]) == (str(cascades), method)]
    seeds = list(dict.fromkeys(row["seed"] for row in chosen))
    return np.array([[float(row[name]) for row in chosen if row["seed"] == seed] for seed in seeds])


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("datalist", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--cascades", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--teacher", choices=["rcn", "demons", "refined", "none"], default="rcn")
    parser.add_argument("--teacher-base", choices=["vtn", "voxelmorph"], default="vtn", help="vtn needs a grid of 64")
    parser.add_argument("--teacher-affine", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--teacher-channels", type=int, default=8)
    parser.add_argument("--teacher-iterations", type=int, default=5000)
    parser.add_argument("--demons-iterations", type=int, default=50)
    parser.add_argument("--refinement-steps", type=int, default=150)
    parser.add_argument("--channels", type=int, default=16, help="of the students")
    parser.add_argument("--repeats", type=int, default=1, help="of each of their networks; 1 as published")
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=10, help="validations and checkpoints of each training")
    parser.add_argument("--pairs", type=int, default=500, help="training pairs that get a field")
    parser.add_argument("--test-pairs", type=int, default=200)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--body-part", default="whole")
    parser.add_argument("--initial", default="affine_light")
    parser.add_argument("--label-weight", type=float, default=0.0, help="of teacher and students; 0 as published")
    parser.add_argument("--smoothness-weight", type=float, default=1.0, help="likewise; 1 as published")
    parser.add_argument("--quick", action="store_true", help="a few iterations of everything, to see that it runs")
    given, options = parser.parse_known_args()
    if odd := [option for option in options if "=" not in option]:
        parser.error(f"unknown option {odd[0]}")
    if own := [
        option for option in options if option.split("=")[0] in ("channels", "repeats", "initial", "n_cascades")
    ]:
        parser.error(f"{own[0]}: give --{own[0].split('=')[0].replace('n_', '')} instead")
    given.options, given.teacher_options = options, []
    if given.quick:
        given.seeds, given.cascades, given.epochs = given.seeds[:2], given.cascades[:1], 1
        given.iterations, given.teacher_iterations, given.pairs, given.test_pairs = 6, 3, 3, 3
        given.teacher_channels = 2
        given.options = [*options, "validation_pairs=2"]
        given.teacher_options = ["validation_pairs=2"]
    return given


def main() -> None:
    """Train what is missing, score it, and print the table."""
    given = parsed()
    given.out = given.out.absolute()
    test, rows = pairs_of(given, "test", given.test_pairs), []
    for cascades in given.cascades:
        fields = teacher_fields(given, cascades) if given.teacher != "none" else given.out
        rows += scores(None, test, cascades=str(cascades), method="before", seed="")
        if given.teacher == "rcn":
            network = RCN(
                given.image_size,
                n_cascades=cascades,
                channels=given.teacher_channels,
                base=given.teacher_base,
                affine=given.teacher_affine,
            )
            load_weights(network, given.out / f"teacher_{cascades}" / "model.pt")
            rows += scores(network, test, cascades=str(cascades), method="teacher", seed="")
        elif given.teacher == "refined":
            rows += scores(Refined(given.refinement_steps), test, cascades=str(cascades), method="teacher", seed="")
        for seed in given.seeds:
            for method in METHODS if given.teacher != "none" else ("none",):
                folder = student(given, cascades, method, seed, fields)
                shape = {"initial": given.initial, "channels": given.channels, "repeats": given.repeats}
                network = LDR(given.image_size, n_cascades=cascades, **shape)
                load_weights(network, folder / "model.pt")
                rows += scores(network, test, cascades=str(cascades), method=method, seed=str(seed))
    with (given.out / "pairs.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    text = table(rows, given)
    (given.out / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
