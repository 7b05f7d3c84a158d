"""Multiple meta-model quantifying (MMQ): rounds of meta-learning with refined data between them, and a choice of models.

    OUT/
      held_out.json                 labelled images that no round sees, on which models are compared
      t0/ ... t<m>/
        manifest.json               the data of the round, with the reasons of changes
        epochs.csv                  its training
        model.pt                    the network with its last layer, when the round is over
      selection.csv, selection.json each round's data and scores, and which models were chosen
      model.pt                      the encoders of the chosen models, best first, which training for questions starts from

Each round starts from the same random network, on the data of the round before as its network refined them. A run that was
killed goes on in the round, and at the epoch, where it was: every step depends on the seed and on files of the steps before.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import nn

from medpipe.engines.handlers.training_checkpoint import save_tensors
from medpipe.engines.meta_records import class_probabilities, class_votes, true_probabilities_and_features
from medpipe.engines.meta_training import MetaTraining
from medpipe.engines.steps.meta_learning import Adaptation
from medpipe.errors import RequestError
from medpipe.io.atomic import write_text
from medpipe.io.folders import sweep_partial_files
from medpipe.metrics.meta_models import SELECTIONS, ModelScores, chosen_models, model_scores
from medpipe.predictions.persistence import persistently

__all__ = ["MetaRounds", "Selection"]

# In format 1 the chosen models stood in order of their rounds. networks/mmq_start.py reads it.
_FORMAT = "medpipe-meta-selection/2"
_VOTES, _PROBABILITIES, _SCORES = 1, 2, 3  # what a seed is for


@dataclass(frozen=True)
class Selection:
    """How models are chosen.

    Attributes:
        models: How many; without influence on ``all``.
        by: ``fuse``, ``accuracy``, ``last`` or ``all``.
        weight: Of the probability in the fuse score.
        squash: Whether the diversity goes through tanh.

    Raises:
        RequestError: A word is unknown, or a number out of range.
    """

    models: int = 3
    by: str = "fuse"
    weight: float = 0.75
    squash: bool = True

    def __post_init__(self) -> None:
        if self.by not in SELECTIONS:
            raise RequestError(f"selection must be one of {', '.join(SELECTIONS)}; found {self.by!r}")
        if not 0 <= self.weight <= 1:
            raise RequestError(f"fuse_weight must be from 0 to 1, found {self.weight}")

    def of(self, scores: ModelScores) -> list[int]:
        """The numbers of the chosen models, best first."""
        return chosen_models(scores, self.models, self.by)


class MetaRounds:
    """The whole of it; nothing is written before ``run``.

    Args:
        folder: OUT.
        split: What the rounds work on, and what is held out (``medpipe.data.meta_split.MetaSplit``).
        learner: Makes a network with an ``encoder``.
        batches: Makes a data set of batches of episodes from images by class.
        episodes: Makes seeded episodes from images by class, a pool or None, ``count`` and ``seed``.
        training: Of a round.
        adaptation: To the episodes that refine and compare.
        refinement: The rules (``medpipe.data.meta_refinement.Refinement``).
        selection: The choice.
        rounds: Refinements; there is one model more.
        refine_episodes: That votes, and that probabilities, are gathered from.
        score_episodes: That models are compared on.
        seed: Of everything.
        device: Of the networks.

    Raises:
        RequestError: Numbers do not fit together, or torchrun started several processes.
        ValueError: Episodes cannot be drawn from the data.
    """

    def __init__(
        self,
        folder: str | Path,
        split: Any,
        *,
        learner: Callable[[], nn.Module],
        batches: Callable[[Mapping[str, Sequence[str]]], Any],
        episodes: Callable[..., Any],
        training: MetaTraining,
        adaptation: Adaptation,
        refinement: Any,
        selection: Selection,
        rounds: int = 5,
        refine_episodes: int = 600,
        score_episodes: int = 600,
        seed: int = 222,
        device: Any = "cpu",
    ) -> None:
        if rounds < 0 or min(refine_episodes, score_episodes) < 1 or seed < 0:
            raise RequestError(
                "rounds and seed must not be negative, refine_episodes and score_episodes at least 1; "
                f"found {rounds}, {seed}, {refine_episodes} and {score_episodes}"
            )
        if selection.by != "all" and not 1 <= selection.models <= rounds + 1:
            raise RequestError(
                f"models={selection.models} cannot be chosen from the {rounds + 1} of rounds={rounds}; change one of them"
            )
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise RequestError("rounds of meta-learning are done by one process; start without torchrun")
        self.folder, self.split, self.learner = Path(folder), split, learner
        self.batches, self.episodes = batches, episodes
        self.training, self.adaptation, self.refinement, self.selection = training, adaptation, refinement, selection
        self.rounds, self.refine_episodes, self.score_episodes = rounds, refine_episodes, score_episodes
        self.seed, self.device = seed, device
        images = split.rounds.by_class()
        # Made once to find at once what cannot be drawn.
        _ = (batches(images), episodes(images, count=1), episodes(split.held_out.by_class(), count=1))

    def run(self) -> None:
        """All rounds that are not done, then the choice."""
        self._store(self.split.held_out, self.folder / "held_out.json")
        data: list[Any] = []
        networks: list[nn.Module] = []
        for number in range(self.rounds + 1):
            folder = self.folder / f"t{number}"
            folder.mkdir(exist_ok=True)
            sweep_partial_files(folder)
            data.append(self._data(folder, number, data, networks))
            networks.append(self._network(folder, number, data[-1]))
        episodes = self._shown(
            self.episodes(self.split.held_out.by_class(), count=self.score_episodes, seed=self._seed(_SCORES)),
            "models compared",
        )
        found = true_probabilities_and_features(networks, self.adaptation, episodes, self.device)
        scores = model_scores(*found, weight=self.selection.weight, squash=self.selection.squash)
        chosen = self.selection.of(scores)
        self._write_selection(data, scores, chosen)
        encoders = nn.ModuleList(networks[number].encoder for number in chosen)  # type: ignore[misc]
        save_tensors(encoders.cpu().state_dict(), self.folder / "model.pt")

    def _seed(self, purpose: int, number: int = 0) -> tuple[int, ...]:
        return self.seed, purpose, number

    def _data(self, folder: Path, number: int, data: list[Any], networks: list[nn.Module]) -> Any:
        """The data of a round, as they are in its manifest."""
        path = folder / "manifest.json"
        if not path.is_file():
            self._store(self._refined(number, data[-1], networks[-1]) if number else self.split.rounds, path)
        return type(self.split.rounds).load(path)

    def _refined(self, number: int, data: Any, network: nn.Module) -> Any:
        images, pool = data.by_class(), data.unlabelled()
        votes: dict[str, dict[str, int]] = {}
        probabilities: dict[str, list[float]] = {}
        expected = 0.0
        if self.refinement.gives and pool:
            episodes = self.episodes(images, pool, count=self.refine_episodes, seed=self._seed(_VOTES, number))
            expected = episodes.appearances
            shown = self._shown(episodes, f"t{number}: votes on {len(pool)} images without a class")
            votes = class_votes(network, self.adaptation, shown, self.device)
        if self.refinement.takes:
            episodes = self.episodes(images, count=self.refine_episodes, seed=self._seed(_PROBABILITIES, number))
            shown = self._shown(episodes, f"t{number}: probabilities of classes")
            probabilities = class_probabilities(network, self.adaptation, shown, self.device)
        return self.refinement.refined(data, votes, probabilities, expected=expected, round_=number)

    def _network(self, folder: Path, number: int, data: Any) -> nn.Module:
        """The network of a round, trained."""
        torch.manual_seed(self.seed)
        network = self.learner().to(self.device)
        path, checkpoint = folder / "model.pt", folder / "checkpoint.pt"
        if not path.is_file():
            seed = int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0])
            self.training(network, self.batches(data.by_class()), folder, seed=seed, name=f"t{number}: updates")
            save_tensors(network.state_dict(), path)
        checkpoint.unlink(missing_ok=True)
        try:
            network.load_state_dict(torch.load(path, map_location=self.device, weights_only=True))
        except Exception as error:  # torch raises many kinds
            reason = str(error).split("\n", 1)[0][:200]
            raise RequestError(
                f"'{path}' is no network of this run ({reason}); remove it, and what follows, to make it again"
            ) from error
        return network

    @staticmethod
    def _store(manifest: Any, path: Path) -> None:
        persistently(lambda: manifest.save(path))

    @staticmethod
    def _shown(episodes: Iterable[dict[str, Any]], description: str) -> Iterator[dict[str, Any]]:
        """The episodes, with a progress bar where a terminal is watching."""
        console = Console(stderr=True)
        yield from track(episodes, description, console=console, disable=not console.is_terminal)

    def _write_selection(self, data: list[Any], scores: ModelScores, chosen: list[int]) -> None:
        rows = []
        for number, manifest in enumerate(data):
            before, now = ({i.image: i.label for i in found.images} for found in (data[max(number - 1, 0)], manifest))
            rows.append(
                {
                    "round": number,
                    "labelled": sum(label is not None for label in now.values()),
                    "unlabelled": sum(label is None for label in now.values()),
                    "added": sum(before[image] is None and label is not None for image, label in now.items()),
                    "removed": sum(before[image] is not None and label is None for image, label in now.items()),
                    "probability": float(scores.probability[number]),
                    "diversity": float(scores.diversity[number]),
                    "fuse": float(scores.fuse[number]),
                    "chosen": number in chosen,
                }
            )
        rule = {"by": self.selection.by, "weight": self.selection.weight, "tanh": self.selection.squash}
        content = {"format": _FORMAT, "selection": rule, "chosen": chosen, "models": rows}
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "chosen": "yes" if row["chosen"] else "no"} for row in rows)
        persistently(lambda: write_text(self.folder / "selection.csv", table.getvalue()))
        persistently(lambda: write_text(self.folder / "selection.json", json.dumps(content, indent=2) + "\n"))
