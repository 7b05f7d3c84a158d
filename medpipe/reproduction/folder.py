"""The folder of a reproduction: OUT of ``medpipe reproduce``.

reproduction.json                      what is reproduced, on what data, with which options
data/                                  the generated data set of --quick
runs/<setting>/<seed>/train, evaluate  as ``medpipe train`` and ``medpipe evaluate`` leave them
runs/<setting>/<seed>/log.txt          what the two commands said
runs/<setting>/<seed>/run.json         written when both have ended well
runs/<stage>/<seed>/train, log.txt, run.json           the same of a stage, which has no evaluation
results.json, tables.md, tables.csv, index.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from medpipe.bundles import Bundle
from medpipe.errors import RequestError
from medpipe.io.atomic import write_text
from medpipe.io.folders import free_folder
from medpipe.reproduction.plan import Run, Stage

__all__ = ["ReproductionFolder", "configs_digest"]

_FORMAT = "medpipe-reproduction-folder/1"
_NAME = "reproduction.json"
_RUN = "run.json"


class ReproductionFolder:
    """The folder of one reproduction: new, or the same reproduction taken up again.

    Args:
        path: The folder. It may exist if it is empty or holds this very reproduction.
        identity: Plain values that decide on all runs; tables and the number of seeds are none of them.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path = path
        self._identity = json.loads(json.dumps(identity))

    @property
    def data(self) -> Path:
        """Where generated data lie."""
        return self.path / "data"

    def check(self) -> None:
        """Look whether the folder may be used; writes nothing.

        Raises:
            RequestError: Something else is in the way; the message says what differs.
        """
        if not (self.path / _NAME).is_file():
            free_folder(self.path, but=(".lock",))
            return
        before = read_object(self.path / _NAME)
        if before.get("format") != _FORMAT or not isinstance(before.get("identity"), dict):
            raise RequestError(f"'{self.path / _NAME}' is not of the format {_FORMAT}; name a new folder")
        then, now = before["identity"], self._identity
        names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        if names:
            changes = ", ".join(f"{name} was {then.get(name)!r} and is {now.get(name)!r}" for name in names)
            raise RequestError(
                f"output folder '{self.path}' holds another reproduction: {changes}; name a new folder, or undo the change "
                "to go on with it"
            )

    def start(self) -> None:
        """Make the folder, or take it up again.

        Raises:
            RequestError: As ``check``, or it cannot be written.
        """
        self.check()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not (self.path / _NAME).is_file():
                content = {"format": _FORMAT, "started": now(), "identity": self._identity}
                write_text(self.path / _NAME, json.dumps(content, indent=1) + "\n")
        except OSError as error:
            raise RequestError(
                f"output folder '{self.path}' cannot be written ({error.strerror or error}); name another"
            ) from error

    def of(self, run: Run) -> Path:
        """Folder of a run."""
        return self.path / "runs" / run.name / str(run.seed)

    def stage(self, stage: Stage, seed: int) -> Path:
        """Folder of a stage's run."""
        return self.path / "runs" / stage.name / str(seed)

    def starts(self, stages: Sequence[Stage], seed: int) -> dict[str, Path]:
        """What a training starts from: by its option, the file of each stage."""
        return {one.option: self.stage(one, seed) / "train" / one.file for one in stages}

    def record(self, run: Run, result: str = "evaluate/results.json") -> dict[str, Any] | None:
        """What is noted of a run that has ended well; None where it has not.

        Args:
            run: Which one.
            result: The file that it must have left.

        Raises:
            RequestError: The folder holds a run of other options.
        """
        folder = self.of(run)
        if not (folder / _RUN).is_file() or not (folder / result).is_file():
            return None
        found = read_object(folder / _RUN)
        now = json.loads(json.dumps({"options": dict(run.options), "after": list(run.after)}))
        then = {"options": found.get("options"), "after": found.get("after", [])}
        if then != now:
            raise RequestError(
                f"'{folder}' holds a run with {then}, not {now}: {run.name} was changed in the bundle's reproduce.yaml; name "
                "a new folder"
            )
        return found

    def note(self, run: Run, record: dict[str, Any]) -> None:
        """Note that a run has ended well."""
        content = {
            "options": dict(run.options),
            "after": list(run.after),
            "seed": run.seed,
            "finished": now(),
            **record,
        }
        write_text(self.of(run) / _RUN, json.dumps(content, indent=1) + "\n")


def configs_digest(bundle: Bundle, stages: Iterable[Stage] = ()) -> str:
    """A hash of what the configs of training, evaluation and stages say, whatever their comments and order of files."""
    said = [bundle.config(mode) for mode in ("train", "evaluate")] + [stage.training(bundle) for stage in stages]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object that this package wrote.

    Raises:
        RequestError: It cannot be read, or is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"'{path}' cannot be read ({error}); name a new folder") from error
    if not isinstance(content, dict):
        raise RequestError(f"'{path}' must hold a JSON object; name a new folder")
    return content


def now() -> str:
    """The time, to the second, in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
