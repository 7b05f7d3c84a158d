"""medpipe data check, prepare, annotate and synth"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.cli.common import EXIT, JsonOption, say, show_json
from medpipe.errors import RequestError

app = typer.Typer(help="Check, prepare and generate data sets.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(help="Data set, for example siim_acr or nih_chestxray14.")]
_Root = Annotated[Path, typer.Argument(help="Its folder, laid out as distributed.")]


@app.command()
def check(name: _Name, root: _Root, as_json: JsonOption = False) -> None:
    """Compare a folder with a data set's manifest: what is missing, too much, or unreadable.

    Example: [bold]medpipe data check siim_acr siim/[/bold]
    """
    from medpipe.data import dataset_reader

    findings = dataset_reader(name).check(_folder(root))
    if as_json:
        show_json([vars(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.severity:7}  {finding.code}: {finding.message}")
    errors = sum(finding.severity == "error" for finding in findings)
    if not as_json:
        print(f"{name}: {errors} errors, {len(findings) - errors} remarks")
    raise typer.Exit(EXIT["request"] if errors else EXIT["done"])


@app.command()
def prepare(
    name: _Name,
    root: _Root,
    output: Annotated[Path, typer.Option("--output", "-o", help="Datalist to write (JSON, must not exist).")],
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    split: Annotated[
        str, typer.Option(help="Parts for training, validation, test; or the name of a published split.")
    ] = "0.7,0.1,0.2",
    label: Annotated[
        str, typer.Option(help="Finding that is the label, where a data set has several; all for all of them.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Write a MONAI datalist: paths relative to the root, labels, patients, and a split by patient.

    Data sets for registration also get the rule by which their volumes make pairs; those for question answering list
    questions, split by image unless --split published is asked for.

    Examples:

    [bold]medpipe data prepare siim_acr siim/ -o siim/datalist.json --seed 1[/bold]

    [bold]medpipe data prepare nih_chestxray14 nih/ -o nih/datalist.json --label all --split official[/bold]

    [bold]medpipe data prepare vqa_rad rad/ -o rad/datalist.json --split image-disjoint[/bold]
    """
    from inspect import signature

    from medpipe.data import dataset_reader
    from medpipe.data.any_datalist import is_about_questions, write_any_datalist

    if output.exists():
        raise RequestError(f"'{output}' exists; name a new file")
    if not output.parent.is_dir():
        raise RequestError(f"folder '{output.parent}' does not exist")
    reader = dataset_reader(name)
    options: dict[str, Any] = {"seed": seed, **_split_option(split)}
    if label:
        options["label"] = label
    taken = signature(reader.prepare).parameters
    if "label" in options and "label" not in taken:
        raise RequestError(f"data set '{name}' has one label; leave --label out")
    if "split" in options and "split" not in taken:
        raise RequestError(f"data set '{name}' has no split of the name {split!r}; give parts such as 0.7,0.1,0.2")
    datalist = reader.prepare(_folder(root), **options)
    write_any_datalist(datalist, output)
    counts = {section: len(datalist.get(section, [])) for section in ("training", "validation", "test")}
    if as_json:
        show_json({"datalist": str(output), "questions" if is_about_questions(datalist) else "images": counts})
    else:
        say(f"{output}: " + ", ".join(f"{number} {section}" for section, number in counts.items()))
        say(f"Split: {datalist['split']}")


@app.command()
def annotate(
    source: Annotated[
        Path, typer.Argument(help="Datalist of questions; or a folder with train/<class>/ and train_unlabel/.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Manifest to write (JSON, must not exist).")],
    dataset_dir: Annotated[
        Path | None, typer.Option("--dataset-dir", help="Folder that a datalist's paths start from (default: its own).")
    ] = None,
    unlabelled: Annotated[
        Path | None, typer.Option("--unlabelled", help="Folder of further images without questions, below the former.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a manifest of images with coarse classes, for meta-learning (MEVF, MMQ).

    From a datalist, the class (head, chest or abdomen; normal, abnormality present or abnormal organ) is guessed by the words
    of the training questions and their answers. Such classes are noisy; the manifest gives the reason for each.

    Examples:

    [bold]medpipe data annotate rad/datalist.json --unlabelled rad/unlabeled -o rad/meta.json[/bold]

    [bold]medpipe data annotate pathvqa_maml/t0 -o meta.json[/bold]
    """
    from collections import Counter

    from medpipe.data.meta_annotation import annotate_datalist
    from medpipe.data.meta_manifest import meta_images, picture_paths

    if output.exists():
        raise RequestError(f"'{output}' exists; name a new file")
    if not output.parent.is_dir():
        raise RequestError(f"folder '{output.parent}' does not exist")
    if source.is_file():
        root = _folder(dataset_dir or source.parent)
        further = picture_paths(_folder(unlabelled)) if unlabelled else ()
        if unlabelled and not further:
            raise RequestError(f"--unlabelled '{unlabelled}' holds no pictures (.jpg, .png, .dcm); leave it out")
        manifest = annotate_datalist(source, root, further)
    elif dataset_dir or unlabelled:
        raise RequestError(
            "--dataset-dir and --unlabelled go with a datalist; a folder has its classes in train/<class>/"
        )
    else:
        manifest = meta_images(_folder(source))
    manifest.save(output)
    left = Counter(image.reason.partition(":")[0] for image in manifest.images if image.label is None)
    if as_json:
        show_json({"manifest": str(output), "classes": manifest.counts(), "without_class": dict(left)})
        return
    say(f"{output}: {len(manifest.images)} images; the classes come from {manifest.source}")
    for name, count in manifest.counts().items():
        say(f"{count:6}  {name}")
    for reason, count in left.most_common():
        say(f"{count:6}  without a class: {reason}")


@app.command()
def synth(
    name: Annotated[
        str,
        typer.Argument(help="What is generated: siim_acr, node21, jsrt, vqa_rad, registration_phantoms, demo_study."),
    ],
    out: Annotated[Path, typer.Argument(help="New folder.")],
    cases: Annotated[int, typer.Option("--cases", min=1, help="Number of images or scans.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same files.")] = 0,
    size: Annotated[
        int | None,
        typer.Option("--size", min=16, help="Pixels or voxels a side (default 1024 for radiographs, 64 for volumes)."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that draw.")] = 2,
    anatomy: Annotated[str, typer.Option(help="Of registration_phantoms: liver or brain (default liver).")] = "",
    same_contrast: Annotated[
        bool, typer.Option("--same-contrast", help="Of registration_phantoms: one grey per organ in all scans.")
    ] = False,
) -> None:
    """Generate a look-alike: made-up images in a data set's real layout, to try a method without any data.

    Example: [bold]medpipe data synth siim_acr lookalike/ --cases 200 --seed 1[/bold]
    """
    from inspect import signature

    from rich.console import Console
    from rich.progress import Progress

    from medpipe.data.lookalikes import lookalike_writer

    writer = lookalike_writer(name)
    given = {"size": size, "anatomy": anatomy, "same_contrast": same_contrast}
    options: dict[str, Any] = {option: value for option, value in given.items() if value}
    foreign = options.keys() - signature(writer).parameters.keys()
    if foreign:
        names = ", ".join(f"--{option.replace('_', '-')}" for option in sorted(foreign))
        raise RequestError(f"the look-alike of {name} takes no {names}; leave it out")
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("images", total=cases)
        writer(
            out,
            cases=cases,
            seed=seed,
            workers=workers,
            progress=lambda done, _: progress.update(task, completed=done),
            **options,
        )
    say(f"{cases} generated images in {out}. They are drawings: results on them say nothing about patients.")


@app.command("import-fields")
def import_fields(
    shards: Annotated[list[Path], typer.Argument(help="Pickles of a teacher's fields (.pkl).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for one record a pair.")],
) -> None:
    """Turn published pickles of displacement fields into plain files, without running what a pickle says.

    Example: [bold]medpipe data import-fields Teacher_deformations/Liver/*.pkl -o fields/[/bold]
    """
    from medpipe.data.teacher_fields import convert_pickled_fields

    missing = [shard for shard in shards if not shard.is_file()]
    if missing:
        raise RequestError(f"'{missing[0]}' is not a file")
    say(f"{convert_pickled_fields(shards, output)} fields in {output}")


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise RequestError(f"'{path}' is not a folder")
    return path


def _split_option(text: str) -> dict[str, Any]:
    """Parts, or the name of a split."""
    return {"split": text} if text.replace("-", "").replace("_", "").isalpha() else {"fractions": _fractions(text)}


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise RequestError(f"--split '{text}' must be three numbers such as 0.7,0.1,0.2, or a name") from error
    if len(values) != 3 or min(values) < 0 or abs(sum(values) - 1) > 1e-6:
        raise RequestError(f"--split '{text}' must be three parts that add up to 1")
    return values[0], values[1], values[2]
