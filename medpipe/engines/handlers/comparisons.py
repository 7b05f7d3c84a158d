"""Which of two values of a metric is the better one, for ``metric_cmp_fn`` of MONAI's engines."""

from __future__ import annotations

__all__ = ["lower_is_better"]


def lower_is_better(current: float, best: float) -> bool:
    """Whether an error is below the best one so far."""
    return current < best
