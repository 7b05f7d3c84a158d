"""The folder that holds a training: OUT of ``medpipe train``.

training.json   what is trained: bundle, data, options; when it was begun and finished
checkpoint.pt   all that goes on from the last epoch
epochs.csv      one row per epoch
model.pt        the weights of the best validation
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import filelock
import ignite.distributed as idist

import medpipe
from medpipe.errors import AlreadyDoneError, MedpipeError, RequestError
from medpipe.io.atomic import write_text
from medpipe.io.folders import free_folder, sweep_partial_files
from medpipe.predictions.fingerprints import sha256_of_file
from medpipe.predictions.run_folder import package_versions

__all__ = ["TrainingFolder", "check_trained_with", "trained_options"]

_FORMAT = "medpipe-training/1"
_NAME = "training.json"


class TrainingFolder:
    """One training's folder: new, or the same training taken up again.

    Nothing is written before ``start``. Two trainings are the same when bundle, data, options and number of processes are.

    Args:
        path: The folder. It may exist if it is empty or holds this very training.
        bundle: Name of what is trained.
        datalist: Whose content identifies the data; None where all data are generated.
        options: Settings that change the weights (plain values).
        weights: A file that the results depend on, by its content.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        bundle: str,
        datalist: str | Path | None,
        options: Mapping[str, Any],
        weights: str | Path | None = None,
    ) -> None:
        self.path = Path(path).expanduser()
        self._bundle, self._datalist, self._options, self._weights = bundle, datalist, dict(options), weights
        self._lock = filelock.FileLock(self.path / ".lock")

    def start(self) -> None:
        """Make the folder or check that it holds this training; only one training at a time may use it.

        With several processes the first one does, and the others check that they see the same folder.

        Raises:
            AlreadyDoneError: This training is finished.
            RequestError: Something else is in the way; the message says what differs.
        """
        error: MedpipeError | None = None
        if idist.get_rank() == 0:
            try:
                self._take()
            except MedpipeError as problem:
                error = problem
        if idist.get_world_size() > 1:
            error = self._agree(error)
        if error is not None:
            self.close()
            raise error

    def finish(self) -> None:
        """Note that the training has reached its end."""
        if idist.get_rank() == 0:
            self._write({**self._read(), "finished": _now()})
        self.close()

    def close(self) -> None:
        """Release the folder; what is there stays."""
        self._lock.release()

    def _identity(self) -> dict[str, Any]:
        return {
            "bundle": self._bundle,
            "medpipe": medpipe.__version__,
            "datalist_sha256": None if self._datalist is None else sha256_of_file(Path(self._datalist)),
            **({} if self._weights is None else {"weights_sha256": _sha256(Path(self._weights))}),
            "processes": idist.get_world_size(),
            **json.loads(json.dumps(self._options)),
        }

    def _take(self) -> None:
        identity = self._identity()
        try:
            # Before the lock, whose file would already be a trace of this request.
            before = self._read() if (self.path / _NAME).is_file() else None
            if before is None:
                free_folder(self.path, but=(".lock",))
            else:
                self._compare(before.get("identity", {}), identity)
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            sweep_partial_files(self.path)
            if before is None:
                started = {"format": _FORMAT, "id": uuid.uuid4().hex, "started": _now(), "finished": None}
                self._write({**started, "identity": identity, "versions": package_versions()})
        except filelock.Timeout as error:
            raise RequestError(f"output folder '{self.path}' is in use by another training; wait for it") from error
        except OSError as error:
            raise RequestError(
                f"output folder '{self.path}' cannot be written ({error.strerror or error}); name another"
            ) from error
        if before is not None and before["finished"]:
            raise AlreadyDoneError(f"the training in '{self.path}' is finished, since {before['finished']}")

    def _compare(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if names:
            changes = ", ".join(f"{name} was {before.get(name)!r} and is {now.get(name)!r}" for name in names)
            raise RequestError(
                f"output folder '{self.path}' holds another training: {changes}; name a new folder, or undo the change "
                "to go on with it"
            )

    def _agree(self, error: MedpipeError | None) -> MedpipeError | None:
        """What the first process found, in all of them, with what the others cannot see."""
        text = str(idist.broadcast(f"{type(error).__name__}:{error}" if error else "none", src=0, safe_mode=True))
        if text != "none":
            kind, _, message = text.partition(":")
            return AlreadyDoneError(message) if kind == "AlreadyDoneError" else RequestError(message)
        here = self._read_id()
        there = str(idist.broadcast(here, src=0, safe_mode=True))
        if idist.all_reduce(int(here != there)):
            return RequestError(
                f"output folder '{self.path}' is not the same folder for all processes; -o must name one that all "
                "machines share"
            )
        return None

    def _read_id(self) -> str:
        try:
            return str(self._read()["id"])
        except RequestError:
            return "none"

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads((self.path / _NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RequestError(f"'{self.path / _NAME}' cannot be read ({error}); name a new folder") from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise RequestError(f"'{self.path / _NAME}' is not of the format {_FORMAT}; name a new folder")
        return content

    def _write(self, content: dict[str, Any]) -> None:
        write_text(self.path / _NAME, json.dumps(content, indent=2) + "\n")


def trained_options(weights: str | Path | None, **defaults: Any) -> dict[str, Any]:
    """Options of the training that made weights, so that they need not be given again.

    Args:
        weights: model.pt of a training's folder; files elsewhere, and None, say nothing.
        defaults: Of what the training does not say, by the names that it has for options.

    Returns:
        One value for each of ``defaults``.
    """
    identity = _identity_beside(weights)
    return {name: identity.get(name, value) for name, value in defaults.items()}


def _identity_beside(weights: str | Path | None) -> dict[str, Any]:
    """What the training beside weights was asked for; nothing where there is none."""
    if weights is None:
        return {}
    try:
        return dict(json.loads((Path(weights).parent / _NAME).read_text(encoding="utf-8"))["identity"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def check_trained_with(weights: str | Path | None, **options: Any) -> None:
    """Refuse weights that a training beside them made with other options, where their shapes do not tell.

    Args:
        weights: model.pt of a training's folder; files elsewhere, and None, are taken as they are.
        options: By the names that the training has for them.

    Raises:
        RequestError: The training says something else; the message says what.
    """
    identity = _identity_beside(weights)
    for name, value in options.items():
        if name in identity and identity[name] != value:
            raise RequestError(
                f"weights '{weights}' were trained with {name}={identity[name]}, and this run has {name}={value}; "
                f"give {name}={identity[name]}"
            )


def _sha256(weights: Path) -> str:
    if not weights.is_file():
        raise RequestError(f"weight file '{weights}' does not exist; give weights=FILE")
    return sha256_of_file(weights)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
