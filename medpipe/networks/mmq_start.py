"""Where the training of MMQ starts: the encoders that meta-learning chose, an auto-encoder, and word vectors."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from medpipe.errors import RequestError
from medpipe.networks.mevf_start import Tables, start_mevf
from medpipe.networks.mmq import MMQ
from medpipe.networks.state_dicts import check_state_dict, read_state_dict

__all__ = ["start_mmq"]


def start_mmq(
    network: MMQ,
    *,
    meta: str | Path | None = None,
    cdae: str | Path | None = None,
    tables: Tables | None = None,
    freeze_encoders: bool = False,
) -> MMQ:
    """Load what is given into a network; the rest starts as torch and the encoders' own rule initialise it.

    Meta-learning collects no running statistics, so those of the encoders start at mean 0 and variance 1.

    Args:
        network: As initialised.
        meta: model.pt of train_meta, which holds as many encoders as the network has.
        cdae: Weights of the auto-encoder: model.pt of train_cdae of radiology_vqa_mevf, or the authors' pretrained_ae.pth.
        tables: Vectors of the words.
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
    start_mevf(network, cdae=cdae, tables=tables, freeze_encoders=freeze_encoders)
    return network


def _load_encoders(network: MMQ, path: str | Path) -> None:
    source = f"pretrained_meta '{path}'"
    encoders = network.visual.meta
    try:
        state = read_state_dict(path)
    except Exception as error:  # torch raises many kinds on foreign files
        reason = str(error).split("\n", 1)[0][:400]
        raise RequestError(f"{source}: {reason}; give model.pt of train_meta") from error
    numbers = {int(found[1]) for name in state if (found := re.match(r"(\d+)\.convolutions\.", name))}
    if not numbers:
        raise RequestError(f"{source}: holds no numbered encoders; give model.pt in the folder of train_meta itself")
    if len(numbers) != len(encoders):  # type: ignore[arg-type]
        raise RequestError(
            f"{source}: holds {len(numbers)} encoders, and the network has {len(encoders)}; "  # type: ignore[arg-type]
            f"give models={len(numbers)}, or make it again with another number"
        )
    expected: dict[str, Tensor] = encoders.state_dict()  # type: ignore[union-attr]
    collected = {name for name, _ in encoders.named_buffers()}  # type: ignore[union-attr]
    try:
        check_state_dict(state, expected, source=source, may_lack=collected)
    except ValueError as error:
        raise RequestError(f"{error}; give the profile= and features= that it was made with") from error
    encoders.load_state_dict({**expected, **state})  # type: ignore[union-attr]
