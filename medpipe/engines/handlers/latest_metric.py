"""A metric of the engine that asks, for schedules that follow a validation."""

from __future__ import annotations

from ignite.engine import Engine

__all__ = ["LatestMetric"]


class LatestMetric:
    """The ``step_transform`` of MONAI's ``LrScheduleHandler`` where it is attached to a validator.

    Args:
        name: Of the metric.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, engine: Engine) -> float:
        """The value of the validation that ended.

        Raises:
            KeyError: The engine has no such metric.
        """
        return float(engine.state.metrics[self.name])
