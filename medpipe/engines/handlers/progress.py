"""A progress bar over an engine's iterations, and nothing where no terminal is watching."""

from __future__ import annotations

import ignite.distributed as idist
from ignite.engine import Engine, Events
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["ProgressBar"]


class _Rate(ProgressColumn):
    """Iterations per second, or seconds per iteration where there is less than one."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each")


class ProgressBar:
    """Shows iterations done, rate and time left on stderr while an engine runs.

    Args:
        description: What is counted, for example "cases".
    """

    def __init__(self, description: str) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal or idist.get_rank() != 0,
        )
        self._task = self._progress.add_task(description, total=None)

    def attach(self, engine: Engine) -> None:
        """Start with the engine, advance each iteration, stop at the end or at an exception."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED | Events.TERMINATE, lambda _: self._progress.stop())
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _start(self, engine: Engine) -> None:
        length, epochs = engine.state.epoch_length, engine.state.max_epochs
        self._progress.update(self._task, total=length * epochs if length and epochs else None)
        self._progress.start()

    def __call__(self, engine: Engine) -> None:
        """One iteration is over."""
        self._progress.update(self._task, completed=engine.state.iteration)

    def _fail(self, engine: Engine, error: Exception) -> None:
        self._progress.stop()
        raise error  # ignite takes a handled exception for a settled one
