"""The plan of a generated data set: every case with its patient, finding, encoding and seed.

Each case has a seed of its own, so cases can be drawn in any order and in any number of processes with the
same result.
"""

from __future__ import annotations

import multiprocessing
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from medpipe.errors import RequestError

from ..splits import shares
from .chest_radiograph import FINDINGS, Drawing, draw_chest_radiograph
from .dicom import Header

__all__ = ["LABELS", "CasePlan", "check_numbers", "generated_uid", "plan_cases", "plan_results", "run_plans"]

LABELS = {"0": "no pneumothorax, or one with a tube", "1": "pneumothorax without a tube"}
Plan = TypeVar("Plan")
Result = TypeVar("Result")


@dataclass(frozen=True)
class CasePlan:
    """One case to draw and write."""

    index: int
    header: Header
    finding: str  # one of FINDINGS
    encoding: str  # one of dicom.ENCODINGS
    size: int
    seed: np.random.SeedSequence

    def draw(self) -> Drawing:
        """Draw the case."""
        return draw_chest_radiograph(np.random.default_rng(self.seed), self.finding, self.size)


def plan_cases(
    name: str, *, cases: int, seed: int, size: int, encodings: Sequence[str], first_patient: int = 0
) -> list[CasePlan]:
    """Plan ``cases`` radiographs: findings in the shares of ``FINDINGS``, encodings in turn, both shuffled.

    Every fifth patient has two images, and every fifteenth three.

    Args:
        name: of the data set; with the seed, it decides on all randomness and on the UIDs.
        cases: number of radiographs, at least 1.
        seed: from 0.
        size: side of the images in pixels.
        encodings: names in ``dicom.ENCODINGS``, given to the cases in turn.
        first_patient: number of the first patient, for a second plan with other patients.

    Raises:
        RequestError: fewer than 1 case, a negative seed, or a size outside 64 to 4096.
    """
    check_numbers(cases=cases, seed=seed, size=size)
    shuffling, *seeds = np.random.SeedSequence([seed, *name.encode()]).spawn(cases + 1)
    rng = np.random.default_rng(shuffling)
    findings = np.repeat(list(FINDINGS), shares(cases, list(FINDINGS.values())))
    rng.shuffle(findings)
    order = rng.permutation(cases) % len(encodings)
    people = [_Person.sample(rng, first_patient + number) for number in range(cases)]
    patients = _patients(cases)
    return [
        CasePlan(
            index=index,
            header=people[patients[index]].header(f"{name}/{seed}/{cases}/{size}/{index}", rng, size),
            finding=str(findings[index]),
            encoding=encodings[order[index]],
            size=size,
            seed=seeds[index],
        )
        for index in range(cases)
    ]


def check_numbers(*, cases: int, seed: int, size: int) -> None:
    """Raise RequestError for fewer than 1 case, a negative seed, or a size outside 64 to 4096."""
    if cases < 1 or seed < 0 or not 64 <= size <= 4096:
        raise RequestError(
            f"{cases} cases of size {size} with seed {seed}; "
            "expected at least 1 case, a size from 64 to 4096, a seed from 0"
        )


def generated_uid(text: str) -> str:
    """A DICOM UID made from ``text``: always the same, and of the UUID root 2.25 (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'medpipe look-alike {text}').int}"


def run_plans(
    write: Callable[[Plan], Result],
    plans: Sequence[Plan],
    *,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> list[Result]:
    """Call ``write`` for every plan, in this or in ``workers`` processes; results in the order of the plans.

    ``progress`` is called after each with the number done and the number in all. With more than one worker,
    ``write`` must be importable, and a script that calls this needs the usual ``if __name__ == "__main__":``.

    Raises:
        RequestError: fewer than 1 worker.
    """
    results: list[Result] = []
    for result in plan_results(write, plans, workers):
        results.append(result)
        if progress is not None:
            progress(len(results), len(plans))
    return results


def plan_results(write: Callable[[Plan], Result], plans: Sequence[Plan], workers: int) -> Iterator[Result]:
    """As :func:`run_plans`, one result at a time; nothing is written before the first is asked for.

    Raises:
        RequestError: fewer than 1 worker.
    """
    if workers < 1:
        raise RequestError(f"{workers} workers; expected at least 1")
    return _results(write, plans, workers)


def _results(write: Callable[[Plan], Result], plans: Sequence[Plan], workers: int) -> Iterator[Result]:
    if workers == 1:
        yield from map(write, plans)
        return
    # "spawn", because a forked process inherits the locks of threads that it does not have
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(write, plans, chunksize=4)


@dataclass(frozen=True)
class _Person:
    number: int
    sex: str
    age: int

    @staticmethod
    def sample(rng: np.random.Generator, number: int) -> _Person:
        return _Person(number, str(rng.choice(["F", "M"])), int(rng.integers(18, 91)))

    def header(self, text: str, rng: np.random.Generator, size: int) -> Header:
        """The header of one image of this person."""
        return Header(
            patient_id=f"GEN{self.number:05d}",
            sex=self.sex,
            age=self.age,
            view=str(rng.choice(["PA", "AP"], p=[0.6, 0.4])),
            modality=str(rng.choice(["CR", "DX"])),
            study_date=f"20{rng.integers(10, 25):02d}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}",
            spacing=round(400 / size, 4),  # millimetres: the picture is 40 cm wide
            study_uid=generated_uid(f"{text}/study"),
            series_uid=generated_uid(f"{text}/series"),
            instance_uid=generated_uid(f"{text}/instance"),
        )


def _patients(cases: int) -> list[int]:
    """The patient of every case."""
    patients: list[int] = []
    number = 0
    while len(patients) < cases:
        images = 3 if number % 15 == 14 else 2 if number % 5 == 4 else 1
        patients += [number] * images
        number += 1
    return patients[:cases]
