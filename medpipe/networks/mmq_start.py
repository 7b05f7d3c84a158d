"""Where the training of MMQ starts: the encoders that meta-learning chose, an auto-encoder, and word vectors."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from medpipe.errors import RequestError
from medpipe.networks.mevf_start import Tables, start_mevf
from medpipe.networks.mmq import MMQ
from medpipe.networks.mmq_weights import encoder_state_dict
from medpipe.networks.state_dicts import check_state_dict, read_state_dict

__all__ = ["start_mmq"]

_BEST_FIRST = "medpipe-meta-selection/2"
"""Format of the record beside model.pt of train_meta; in 1 the chosen models stood in order of their rounds."""


def start_mmq(
    network: MMQ,
    *,
    meta: str | Path | Sequence[str | Path] | None = None,
    cdae: str | Path | None = None,
    tables: Tables | None = None,
    train_words: bool = True,
    freeze_encoders: bool = False,
) -> MMQ:
    """Load what is given into a network; the rest starts as torch and the encoders' own rule initialise it.

    Meta-learning collects no running statistics, so those of the encoders start at mean 0 and variance 1.

    Args:
        network: As initialised.
        meta: model.pt of train_meta, of which the network takes as many encoders as it has, best first; or a list with one file
            for each: model.pt of a round, or the authors' t<k>_pretrained_maml_....pth.
        cdae: Weights of the auto-encoder: model.pt of train_cdae of radiology_vqa_mevf, or the authors' pretrained_ae.pth.
        tables: Vectors of the words.
        train_words: Whether the first word table is trained.
        freeze_encoders: Do not train the encoders on.

    Returns:
        The same network.

    Raises:
        RequestError: A file does not fit; the message says which option to change.
    """
    if meta is not None:
        _load_encoders(network, meta)
    if cdae is not None and network.visual.autoencoder is None:
        raise RequestError(
            f"pretrained_cdae={cdae}: the network has no auto-encoder; give with_cdae=true, or leave it out"
        )
    start_mevf(network, cdae=cdae, tables=tables, train_words=train_words, freeze_encoders=freeze_encoders)
    return network


def _load_encoders(network: MMQ, meta: str | Path | Sequence[str | Path]) -> None:
    encoders = network.visual.meta
    if isinstance(meta, str | Path):
        parts, source = _best(_of_one_file(meta), len(encoders), meta), f"pretrained_meta '{meta}'"  # type: ignore[arg-type]
    else:
        parts, source = [_of_round(path) for path in meta], "pretrained_meta"
    if len(parts) != len(encoders):  # type: ignore[arg-type]
        raise RequestError(
            f"{source}: holds {len(parts)} encoders, and the network has {len(encoders)}; "  # type: ignore[arg-type]
            f"give models={len(parts)}, or others"
        )
    state = {f"{place}.{name}": value for place, part in enumerate(parts) for name, value in part.items()}
    expected: dict[str, Tensor] = encoders.state_dict()  # type: ignore[union-attr]
    counted = {name for name, _ in encoders.named_buffers()}  # type: ignore[union-attr]
    try:
        check_state_dict(state, expected, source=source, may_lack=counted)
    except ValueError as error:
        raise RequestError(f"{error}; give the profile= and features= that it was made with") from error
    encoders.load_state_dict({**expected, **state})  # type: ignore[union-attr]


def _of_one_file(path: str | Path) -> list[dict[str, Tensor]]:
    """The encoders of model.pt of train_meta, best first."""
    found: dict[int, dict[str, Tensor]] = {}
    for name, value in _read(path).items():
        match = re.fullmatch(r"(\d+)\.((?:convolutions|norms)\..+)", name)
        if match is None:
            raise RequestError(
                f"pretrained_meta '{path}': holds no numbered encoders; give model.pt in the folder of train_meta itself, or a "
                "list with the file of each round, as [META/t0/model.pt, META/t2/model.pt]"
            )
        found.setdefault(int(match[1]), {})[match[2]] = value
    return [found[number] for number in sorted(found)]


def _best(parts: list[dict[str, Tensor]], count: int, path: str | Path) -> list[dict[str, Tensor]]:
    """The first ones, where the record beside the file says that they stand best first."""
    if len(parts) <= count:
        return parts
    record = Path(path).with_name("selection.json")
    try:
        said = json.loads(record.read_text(encoding="utf-8"))["format"]
    except (OSError, ValueError, KeyError, TypeError):
        said = "nothing"
    if said != _BEST_FIRST:
        raise RequestError(
            f"pretrained_meta '{path}': holds {len(parts)} encoders, and the network has {count}; which are the best stands "
            f"in {record.name} beside it ({_BEST_FIRST}; found {said}); give models={len(parts)}, or the files of "
            "rounds, as [META/t0/model.pt, META/t2/model.pt]"
        )
    return parts[:count]


def _of_round(path: str | Path) -> dict[str, Tensor]:
    try:
        return encoder_state_dict(_read(path))
    except ValueError as error:
        if isinstance(error, RequestError):
            raise
        whole = "; model.pt of train_meta itself is given without brackets" if Path(path).name == "model.pt" else ""
        raise RequestError(f"pretrained_meta '{path}': {error}{whole}") from error


def _read(path: str | Path) -> dict[str, Tensor]:
    try:
        return read_state_dict(path)
    except Exception as error:  # torch raises many kinds on foreign files
        reason = str(error).split("\n", 1)[0][:400]
        raise RequestError(f"pretrained_meta '{path}': {reason}; give model.pt of train_meta") from error
