"""The last value of another engine's metric, for schedules that follow a validation."""

from __future__ import annotations

from ignite.engine import Engine

__all__ = ["LatestMetric"]


class LatestMetric:
    """Gives a validator's metric to whom it is asked by, such as ``step_transform`` of MONAI's ``LrScheduleHandler``.

    Args:
        validator: The engine that has the metric.
        name: Of the metric.
    """

    def __init__(self, validator: Engine, name: str) -> None:
        self.validator, self.name = validator, name

    def __call__(self, engine: Engine) -> float:
        """The value; the engine that asks does not matter.

        Raises:
            KeyError: There was no validation yet, or it has no such metric.
        """
        return float(self.validator.state.metrics[self.name])
