"""The marks of one reader in one modality on a set of cases (FROC data; ROC data are a special case).

Cases are numbered with the non-diseased ones first: 0..K1-1 non-diseased, K1..K1+K2-1 diseased. Lesion
localisations number the diseased cases alone, 0..K2-1. Absence is expressed by absence: a lesion or a case
without a mark has no entry, and counts with a rating of minus infinity.

References:
    DP Chakraborty, Observer Performance Methods for Diagnostic Imaging, Taylor & Francis 2017.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from medpipe.metrics._arrays import (
    FloatArray,
    IntArray,
    binary_array,
    check_finite,
    float_vector,
    index_vector,
)
from medpipe.metrics.intervals import Cohort
from medpipe.metrics.lesions import Lesion
from medpipe.metrics.matching import MatchRow

__all__ = ["FreeResponseData", "MatchedCase", "check_same_cases", "equal_weights"]

_WEIGHT_ROUNDING = 1e-6
_LAST_DIGITS = 1e-12


@dataclass(frozen=True)
class MatchedCase:
    """One case with its matched marks.

    Attributes:
        case_id: unique name of the case.
        rows: what became of its marks; LL and NL count, ``duplicate`` and ``ignored`` do not.
        n_lesions: number of lesions that count; 0 for a non-diseased case.
        weights: one per lesion, summing to 1; None for equal weights.
        patient: label of the patient; None when the case is the only one of its patient.
    """

    case_id: str
    rows: Sequence[MatchRow]
    n_lesions: int
    weights: Sequence[float] | None = None
    patient: str | None = None

    def __post_init__(self) -> None:
        if self.n_lesions < 0:
            raise ValueError(f"case {self.case_id!r}: n_lesions must not be negative, found {self.n_lesions}")
        if self.weights is None:
            return
        if len(self.weights) != self.n_lesions:
            raise ValueError(f"case {self.case_id!r}: {len(self.weights)} weights for {self.n_lesions} lesions")
        if self.weights and not (min(self.weights) >= 0 and abs(sum(self.weights) - 1) <= _WEIGHT_ROUNDING):
            raise ValueError(
                f"case {self.case_id!r}: the weights of its lesions must not be negative and sum to 1,"
                f" found {', '.join(f'{weight:g}' for weight in self.weights)}"
            )

    @classmethod
    def of_image(
        cls, case_id: str, rows: Sequence[MatchRow], lesions: Sequence[Lesion], patient: str | None = None
    ) -> MatchedCase:
        """The case of an image whose marks were matched with ``lesions``; regions to ignore are left out.

        Raises:
            ValueError: when some of its lesions have a weight and others have none.
        """
        weights = [lesion.weight for lesion in lesions if not lesion.ignore]
        given = [weight for weight in weights if weight is not None]
        if given and len(given) != len(weights):
            raise ValueError(f"case {case_id!r}: {len(given)} of {len(weights)} lesions have a weight")
        return cls(case_id, rows, len(weights), given or None, patient)


@dataclass(frozen=True, eq=False)
class FreeResponseData:
    """The marks of one reader in one modality. Arrays are checked and converted on construction.

    Attributes:
        n_nondiseased: number of non-diseased cases, K1.
        n_diseased: number of diseased cases, K2.
        nl_case: case of each non-lesion localisation, over all cases (0..K1+K2-1).
        nl_rating: its rating, finite.
        ll_case: diseased case of each lesion localisation (0..K2-1).
        ll_lesion: which lesion of this case it found; a lesion is found at most once.
        ll_rating: its rating, finite.
        lesions_per_case: number of lesions of each diseased case, at least 1.
        lesion_weights: weight of every lesion, the lesions of the first diseased case first; the weights of a
            case sum to 1 (rounding up to 1e-6 is removed).
        case_ids: unique names of the cases; None when they have none.
        patients: patient of each case; None when every case is a patient of its own.

    Raises:
        ValueError: when the parts contradict each other, or a rating is NaN or infinite.
    """

    n_nondiseased: int
    n_diseased: int
    nl_case: IntArray
    nl_rating: FloatArray
    ll_case: IntArray
    ll_lesion: IntArray
    ll_rating: FloatArray
    lesions_per_case: IntArray
    lesion_weights: FloatArray
    case_ids: tuple[str, ...] | None = None
    patients: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.n_nondiseased < 0 or self.n_diseased < 0 or self.n_cases == 0:
            raise ValueError(
                "there must be at least one case,"
                f" found {self.n_nondiseased} non-diseased and {self.n_diseased} diseased"
            )
        self._set("lesions_per_case", index_vector(self.lesions_per_case, "lesions_per_case", 2**31))
        self._set("nl_case", index_vector(self.nl_case, "nl_case", self.n_cases))
        self._set("ll_case", index_vector(self.ll_case, "ll_case", self.n_diseased))
        self._set("ll_lesion", index_vector(self.ll_lesion, "ll_lesion", 2**31))
        for name in ("nl_rating", "ll_rating", "lesion_weights"):
            self._set(name, float_vector(getattr(self, name), name).copy())
            check_finite(getattr(self, name), name)
        self._check_lengths()
        self._check_lesions()
        self._set("lesion_weights", self._checked_weights())
        self._check_names()

    def _set(self, name: str, value: IntArray | FloatArray) -> None:
        value.setflags(write=False)  # what is derived from it is computed once
        object.__setattr__(self, name, value)

    def _check_lengths(self) -> None:
        for names in (("nl_case", "nl_rating"), ("ll_case", "ll_lesion", "ll_rating")):
            sizes = [getattr(self, name).size for name in names]
            if len(set(sizes)) > 1:
                raise ValueError(f"{', '.join(names)} must be equally long, found {sizes}")
        if self.lesions_per_case.size != self.n_diseased:
            raise ValueError(
                f"lesions_per_case has {self.lesions_per_case.size} entries for {self.n_diseased} diseased cases"
            )
        if self.lesion_weights.size != self.n_lesions:
            raise ValueError(f"lesion_weights has {self.lesion_weights.size} entries for {self.n_lesions} lesions")

    def _check_lesions(self) -> None:
        empty = np.flatnonzero(self.lesions_per_case < 1)
        if empty.size:
            raise ValueError(f"diseased case {empty[0]} has no lesion; a case without lesions is non-diseased")
        beyond = np.flatnonzero(self.ll_lesion >= self.lesions_per_case[self.ll_case])
        if beyond.size:
            case, lesion = self.ll_case[beyond[0]], self.ll_lesion[beyond[0]]
            raise ValueError(
                f"lesion {lesion} of diseased case {case} is marked,"
                f" but the case has {self.lesions_per_case[case]} lesions"
            )
        found = np.bincount(self._ll_position, minlength=self.n_lesions)
        if found.max(initial=0) > 1:
            position = int(np.argmax(found > 1))
            case = self.lesion_case[position]
            raise ValueError(
                f"lesion {position - self._first_lesion[case]} of diseased case {case} is found"
                f" {found[position]} times; keep its highest rating"
            )

    def _checked_weights(self) -> FloatArray:
        if (self.lesion_weights < 0).any():
            raise ValueError(f"lesion weights must not be negative, found {self.lesion_weights.min()}")
        totals = np.bincount(self.lesion_case, self.lesion_weights, minlength=self.n_diseased)
        wrong = np.flatnonzero(np.abs(totals - 1) > _WEIGHT_ROUNDING)
        if wrong.size:
            raise ValueError(
                f"the lesion weights of diseased case {wrong[0]} must sum to 1, found {totals[wrong[0]]:g}"
            )
        # Sums that are 1 but for the last digits stay: data made from these then have the very same weights.
        scale = np.where(np.abs(totals - 1) > _LAST_DIGITS, totals, 1.0)
        weights: FloatArray = self.lesion_weights / scale[self.lesion_case]
        return weights

    def _check_names(self) -> None:
        for name in ("case_ids", "patients"):
            names = getattr(self, name)
            if names is not None and len(names) != self.n_cases:
                raise ValueError(f"{name} has {len(names)} entries for {self.n_cases} cases")
        if self.case_ids is not None and len(set(self.case_ids)) != self.n_cases:
            raise ValueError("case_ids must be unique")

    @classmethod
    def from_cases(cls, cases: Iterable[MatchedCase]) -> FreeResponseData:
        """Collect matched cases, given in any order; the data hold them sorted by name, non-diseased first.

        Raises:
            ValueError: when there is no case, a name occurs twice, or a case contradicts itself.
        """
        ordered = sorted(cases, key=lambda case: (case.n_lesions > 0, case.case_id))
        n_nondiseased = sum(case.n_lesions == 0 for case in ordered)
        nls: list[tuple[int, float]] = []
        lls: list[tuple[int, int, float]] = []
        weights: list[float] = []
        for number, case in enumerate(ordered):
            nls += [(number, row.rating) for row in case.rows if row.kind == "NL"]
            lls += [(number - n_nondiseased, *found) for found in _localisations(case)]
            weights += _case_weights(case)
        named = any(case.patient is not None for case in ordered)
        return cls(
            n_nondiseased=n_nondiseased,
            n_diseased=len(ordered) - n_nondiseased,
            nl_case=np.array([case for case, _ in nls], dtype=np.int64),
            nl_rating=np.array([rating for _, rating in nls], dtype=np.float64),
            ll_case=np.array([case for case, _, _ in lls], dtype=np.int64),
            ll_lesion=np.array([lesion for _, lesion, _ in lls], dtype=np.int64),
            ll_rating=np.array([rating for _, _, rating in lls], dtype=np.float64),
            lesions_per_case=np.array([case.n_lesions for case in ordered[n_nondiseased:]], dtype=np.int64),
            lesion_weights=np.array(weights, dtype=np.float64),
            case_ids=tuple(case.case_id for case in ordered),
            patients=tuple(_patient(case) for case in ordered) if named else None,
        )

    @classmethod
    def from_scores(
        cls, scores: ArrayLike, labels: ArrayLike, patients: Sequence[str] | None = None
    ) -> FreeResponseData:
        """ROC data: one finite score per case, and whether the case is diseased (1) or not (0).

        Raises:
            ValueError: when the lengths differ, a score is not finite, or a label is neither 0 nor 1.
        """
        ratings, diseased = float_vector(scores, "scores"), binary_array(labels, "labels")
        if ratings.shape != diseased.shape:
            raise ValueError(f"{ratings.size} scores for labels of shape {diseased.shape}")
        check_finite(ratings, "scores")
        if patients is not None and len(patients) != ratings.size:
            raise ValueError(f"{len(patients)} patient labels for {ratings.size} cases")
        n_diseased = int(diseased.sum())
        order = np.argsort(diseased, kind="stable")
        return cls(
            n_nondiseased=ratings.size - n_diseased,
            n_diseased=n_diseased,
            nl_case=np.arange(ratings.size - n_diseased),
            nl_rating=ratings[~diseased],
            ll_case=np.arange(n_diseased),
            ll_lesion=np.zeros(n_diseased, dtype=np.int64),
            ll_rating=ratings[diseased],
            lesions_per_case=np.ones(n_diseased, dtype=np.int64),
            lesion_weights=np.ones(n_diseased),
            patients=None if patients is None else tuple(patients[i] for i in order),
        )

    @property
    def n_cases(self) -> int:
        """Number of cases, K."""
        return self.n_nondiseased + self.n_diseased

    @property
    def n_lesions(self) -> int:
        """Number of lesions, L_T."""
        return int(self.lesions_per_case.sum())

    @property
    def is_roc(self) -> bool:
        """Whether these are ROC data: one lesion per diseased case, no NL there, one mark on every case."""
        marks = np.bincount(self.nl_case, minlength=self.n_cases)
        one_mark = (marks[: self.n_nondiseased] == 1).all() and not marks[self.n_nondiseased :].any()
        return bool(one_mark and self.n_lesions == self.n_diseased == self.ll_case.size)

    @cached_property
    def cohort(self) -> Cohort:
        """Cases and patients, for the bootstrap."""
        return Cohort(np.arange(self.n_cases) >= self.n_nondiseased, self.patients)

    @cached_property
    def lesion_case(self) -> IntArray:
        """Diseased case (0..K2-1) of every lesion."""
        return np.repeat(np.arange(self.n_diseased), self.lesions_per_case)

    @cached_property
    def lesion_rating(self) -> FloatArray:
        """Rating of every lesion; minus infinity where it is unmarked."""
        ratings = np.full(self.n_lesions, -np.inf)
        ratings[self._ll_position] = self.ll_rating
        return ratings

    @cached_property
    def highest_nl(self) -> FloatArray:
        """Highest NL rating of every case; minus infinity where there is none."""
        highest = np.full(self.n_cases, -np.inf)
        np.maximum.at(highest, self.nl_case, self.nl_rating)
        return highest

    @cached_property
    def highest_rating(self) -> FloatArray:
        """Highest rating of every case, LL or NL (the inferred ROC rating); minus infinity without a mark."""
        highest = self.highest_nl.copy()
        np.maximum.at(highest, self.n_nondiseased + self.ll_case, self.ll_rating)
        return highest

    @cached_property
    def _first_lesion(self) -> IntArray:
        first: IntArray = np.cumsum(self.lesions_per_case) - self.lesions_per_case
        return first

    @cached_property
    def _ll_position(self) -> IntArray:
        position: IntArray = self._first_lesion[self.ll_case] + self.ll_lesion
        return position


def equal_weights(lesions_per_case: ArrayLike) -> FloatArray:
    """Weights 1/L_k of every lesion, the lesions of the first case first."""
    lesions = index_vector(lesions_per_case, "lesions_per_case", 2**31)
    return np.repeat(1 / np.maximum(lesions, 1), lesions)


def check_same_cases(first: FreeResponseData, second: FreeResponseData) -> None:
    """Raise ValueError unless both data sets are readings of the same cases, lesions and patients."""
    for name in ("n_nondiseased", "n_diseased", "case_ids", "patients"):
        if getattr(first, name) != getattr(second, name):
            raise ValueError(f"the two data sets are not readings of the same cases: {name} differs")
    if not np.array_equal(first.lesions_per_case, second.lesions_per_case):
        raise ValueError("the two data sets are not readings of the same cases: lesions_per_case differs")
    if not np.allclose(first.lesion_weights, second.lesion_weights, rtol=0, atol=_WEIGHT_ROUNDING):
        raise ValueError("the two data sets are not readings of the same cases: lesion_weights differs")


def _localisations(case: MatchedCase) -> list[tuple[int, float]]:
    """Lesion and rating of the case's LL marks."""
    found = []
    for row in case.rows:
        if row.kind == "LL":
            if row.lesion is None or not 0 <= row.lesion < case.n_lesions:
                raise ValueError(
                    f"case {case.case_id!r}: mark {row.mark} found lesion {row.lesion} of {case.n_lesions}"
                )
            found.append((row.lesion, row.rating))
    return found


def _case_weights(case: MatchedCase) -> list[float]:
    if case.weights is None:
        return [1 / case.n_lesions for _ in range(case.n_lesions)]
    return list(case.weights)


def _patient(case: MatchedCase) -> str:
    return case.case_id if case.patient is None else case.patient
