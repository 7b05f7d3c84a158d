"""A fully crossed reader study: every reader has read every case in every modality (multi-reader multi-case, MRMC)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medpipe.metrics._arrays import FloatArray
from medpipe.metrics.free_response import FreeResponseData, check_same_cases
from medpipe.metrics.intervals import Cohort
from medpipe.metrics.jafroc import figure_of_merit, undefined_reason

__all__ = ["ReaderStudy"]


@dataclass(frozen=True, eq=False)
class ReaderStudy:
    """Readings of the same cases by several readers in several modalities.

    Attributes:
        modalities: unique names.
        readers: unique names.
        readings: ``readings[i][j]`` is what reader j marked in modality i.

    Raises:
        ValueError: when a name occurs twice, a reading is missing, or two readings are not of the same cases.
    """

    modalities: tuple[str, ...]
    readers: tuple[str, ...]
    readings: tuple[tuple[FreeResponseData, ...], ...]

    def __post_init__(self) -> None:
        for kind in ("modalities", "readers"):
            names = tuple(getattr(self, kind))
            object.__setattr__(self, kind, names)
            if not names or len(set(names)) != len(names):
                raise ValueError(f"{kind} must have unique names, at least one; found {list(names)}")
        object.__setattr__(self, "readings", tuple(tuple(row) for row in self.readings))
        self._check_crossed()
        for i, row in enumerate(self.readings):
            for j, reading in enumerate(row):
                self._check_cases(i, j, reading)

    def _check_crossed(self) -> None:
        if len(self.readings) != self.n_modalities:
            raise ValueError(f"readings of {len(self.readings)} modalities for {self.n_modalities} names")
        for modality, row in zip(self.modalities, self.readings, strict=True):
            if len(row) != self.n_readers:
                raise ValueError(
                    f"modality {modality!r} has {len(row)} readings for {self.n_readers} readers:"
                    " every reader must have read in every modality"
                )

    def _check_cases(self, i: int, j: int, reading: FreeResponseData) -> None:
        try:
            check_same_cases(self._first, reading)
        except ValueError as error:
            first = f"modality {self.modalities[0]!r}, reader {self.readers[0]!r}"
            raise ValueError(
                f"modality {self.modalities[i]!r}, reader {self.readers[j]!r} compared with {first}: {error}"
            ) from error

    @property
    def _first(self) -> FreeResponseData:
        return self.readings[0][0]

    @property
    def n_modalities(self) -> int:
        """Number of modalities, I."""
        return len(self.modalities)

    @property
    def n_readers(self) -> int:
        """Number of readers, J."""
        return len(self.readers)

    @property
    def n_nondiseased(self) -> int:
        """Number of non-diseased cases, K1."""
        return self._first.n_nondiseased

    @property
    def n_diseased(self) -> int:
        """Number of diseased cases, K2."""
        return self._first.n_diseased

    @property
    def n_cases(self) -> int:
        """Number of cases, K."""
        return self._first.n_cases

    @property
    def n_lesions(self) -> int:
        """Number of lesions."""
        return self._first.n_lesions

    @property
    def cohort(self) -> Cohort:
        """Cases and patients, for the bootstrap."""
        return self._first.cohort

    @property
    def is_roc(self) -> bool:
        """Whether every reading is ROC data: one rating per case."""
        return all(reading.is_roc for row in self.readings for reading in row)

    def undefined_reason(self, name: str) -> str | None:
        """Why the study does not define the figure of merit; None when every reading does.

        Raises:
            ValueError: when there is no figure of this name.
        """
        reasons = (undefined_reason(reading, name) for row in self.readings for reading in row)
        return next((reason for reason in reasons if reason), None)

    def figures(self, name: str) -> FloatArray:
        """The figure of merit of every reading, shape (modalities, readers).

        Raises:
            ValueError: when there is no figure of this name, or a reading does not define it.
        """
        return self.each(lambda reading: figure_of_merit(reading, name))

    def each(self, function: Callable[[FreeResponseData], float | Sequence[float] | FloatArray]) -> FloatArray:
        """What ``function`` makes of every reading, shape (modalities, readers, ...)."""
        return np.array([[function(reading) for reading in row] for row in self.readings], dtype=np.float64)
