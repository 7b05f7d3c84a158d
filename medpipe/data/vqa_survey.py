"""What readers of question-answering data sets share: the survey of a folder, and the datalist made from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError, RequestError

from .findings import Finding, error, info, warning
from .lookalikes.marker import read_marker
from .manifests import load_manifest
from .names import some_names
from .picture_files import find_pictures, unreadable_pictures
from .splits import PARTS, Fractions
from .surveys import refuse_errors
from .vqa_datalist import TASK, shared_images, split_by_image

__all__ = ["SPLITS", "Entry", "VqaSurvey", "find_images", "repeated_questions", "survey_folder", "vqa_datalist"]

SPLITS = ("published", "image-disjoint")
"""Names of the splits: the authors' own, and one by image, by a seed."""

Entry = dict[str, Any]


@dataclass
class VqaSurvey:
    """What lies in a folder: everything that both the check and the datalist are made from."""

    findings: list[Finding] = field(default_factory=list)
    source: str = ""  # the files that the questions come from
    rows: dict[str, list[Entry]] = field(default_factory=lambda: {part: [] for part in PARTS})
    marker: dict[str, Any] | None = None  # of a look-alike


def survey_folder(root: Path, *steps: Callable[[Path, VqaSurvey], Iterator[Finding]]) -> VqaSurvey:
    """Run steps that fill a survey, in order; what they raise about their files becomes an error among the findings."""
    survey = VqaSurvey(marker=read_marker(root))
    if survey.marker is not None:
        survey.findings.append(info("look_alike", f"{root} is a look-alike: {survey.marker['statement']}"))
    for step in steps:
        try:
            survey.findings += step(root, survey)
        except InputDataError as fault:
            survey.findings.append(error("questions", str(fault)))
    return survey


def repeated_questions(survey: VqaSurvey) -> Iterator[Finding]:
    """An error where a question's id stands more than once."""
    cases = Counter(row["case"] for rows in survey.rows.values() for row in rows)
    if twice := [case for case, count in cases.items() if count > 1]:
        yield error("listed_twice", f"{len(twice):,} question ids stand more than once: {some_names(twice)}")


def find_images(root: Path, survey: VqaSurvey, skip: tuple[str, ...] = ()) -> Iterator[Finding]:
    """Give every question the path of its image, found by the stem that its ``image_name`` has.

    Args:
        root: The data set's folder.
        survey: Its rows get ``image`` in the place of ``image_name``; without a file they have neither.
        skip: Folders below the root that hold other pictures.
    """
    files, findings = find_pictures(root, skip)
    yield from findings
    if not files:
        left_out = f", besides {' and '.join(skip)}, which are left out" if skip else ""
        yield error("no_images", f"no JPEG or PNG file in {root} or below it{left_out}")
    wanted: set[str] = set()
    missing: set[str] = set()
    for row in (row for rows in survey.rows.values() for row in rows):
        stem = Path(row.pop("image_name")).stem
        (wanted if stem in files else missing).add(stem)
        if stem in files:
            row["image"] = files[stem].relative_to(root).as_posix()
    yield from unreadable_pictures(root, [files[stem] for stem in sorted(wanted)])
    if missing and files:
        yield warning("missing_images", f"{len(missing):,} images of questions are not on disk: {some_names(missing)}")


def vqa_datalist(
    name: str, root: Path, survey: VqaSurvey, *, seed: int, fractions: Sequence[float], split: str | None
) -> dict[str, Any]:
    """The datalist of a surveyed folder.

    Args:
        name: The data set's.
        root: Its folder, for messages.
        survey: What was found there.
        seed: Of a division by image.
        fractions: Of the images, for training, validation and test.
        split: One of ``SPLITS``; None for the division by image.

    Raises:
        InputDataError: The survey has errors.
        RequestError: The split is unknown, or the fractions do not add up to 1.
    """
    if split not in (None, *SPLITS):
        raise RequestError(f"{name} has no split {split!r}; expected {' or '.join(SPLITS)}")
    refuse_errors(root, survey.findings)
    rows = {part: [row for row in survey.rows[part] if "image" in row] for part in PARTS}
    total = sum(map(len, rows.values()))
    left = sum(map(len, survey.rows.values())) - total
    words, parts = f"published ({survey.source})", rows
    if split != "published":
        parted: Fractions = (fractions[0], fractions[1], fractions[2])
        shown = "/".join(f"{fraction:g}" for fraction in parted)
        words = f"by image, training/validation/test {shown}, seed {seed}"
        parts = split_by_image([row for part in PARTS for row in rows[part]], seed=seed, fractions=parted)
    title = load_manifest(name)["title"]
    return {
        "name": name,
        "description": f"{title}; {total:,} questions; {left:,} about images not on disk left out",
        "generated": survey.marker is not None,
        "split": words,
        "task": TASK,
        "tensorImageSize": "2D",
        **({"shares_images": True} if shared_images(parts) else {}),
        **parts,
    }
