"""Where the training of MEVF starts: pretrained encoders and word vectors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from medpipe.errors import RequestError
from medpipe.networks.mevf_weights import import_cdae_state_dict, import_maml_weights
from medpipe.networks.question_answerer import QuestionAnswerer
from medpipe.networks.state_dicts import check_state_dict, read_state_dict
from medpipe.networks.weights import load_backbone

__all__ = ["start_mevf"]

_log = logging.getLogger(__name__)

State = Mapping[str, Tensor]


class Tables(Protocol):
    """Vectors of words, (words, dimensions) each: ``medpipe.data.question_sets.WordTables``."""

    words: Any
    augmenting: Any


def start_mevf(
    network: QuestionAnswerer,
    *,
    maml: str | Path | None = None,
    maml_arrays: Mapping[str, Any] | None = None,
    cdae: str | Path | None = None,
    imagenet: str | Path | None = None,
    tables: Tables | None = None,
    carry_norms: bool = True,
    freeze_encoders: bool = False,
    train_words: bool = True,
    cdae_noise: float = 0.0,
) -> QuestionAnswerer:
    """Load what is given into a network, and set what its training alone needs; the rest starts as torch initialises it.

    Args:
        network: As initialised.
        maml: Weights of the meta-learned encoder: model.pt of train_maml, or the authors' pretrained_maml.weights.
        maml_arrays: Content of ``maml`` where it is the authors' file.
        cdae: Weights of the auto-encoder: model.pt of train_cdae, or the authors' pretrained_ae.pth.
        imagenet: Weights of VGG-16 or ResNet-34 as torchvision has them; without them such an encoder starts at random, which is
            logged as a warning.
        tables: Vectors of the words.
        carry_norms: Take the normalisations of ``maml`` along, and not its convolutions alone.
        freeze_encoders: Do not train the encoders on; the layer from the auto-encoder's code to its feature still is.
        train_words: Whether the first word table is trained.
        cdae_noise: Standard deviation of what is added to the auto-encoder's image in training, and not to what it shall become.

    Returns:
        The same network.

    Raises:
        RequestError: A file does not fit, or is of an encoder that the network has not; or the noise is negative.
    """
    if cdae_noise < 0:
        raise RequestError(f"cdae_noise must not be negative, found {cdae_noise}")
    network.visual.noise = cdae_noise  # type: ignore[assignment]
    network.embedding.words.weight.requires_grad_(train_words)
    if maml is not None:
        meta = _part(network.visual.meta, f"pretrained_maml={maml}")
        authors = None if maml_arrays is None else lambda: import_maml_weights(maml_arrays, meta)  # type: ignore[arg-type]
        state = _state(maml, meta, "pretrained_maml", lambda found: found, authors)
        kept = {name: value for name, value in meta.state_dict().items() if "norms" in name and not carry_norms}
        meta.load_state_dict({**state, **kept})
    if cdae is not None:
        autoencoder = _part(network.visual.autoencoder, f"pretrained_cdae={cdae}")
        convert = lambda found: import_cdae_state_dict(found, autoencoder) if "conv1.weight" in found else found  # noqa: E731
        autoencoder.load_state_dict(_state(cdae, autoencoder, "pretrained_cdae", convert))
    if imagenet is not None:
        load_backbone(_part(network.visual.photographs, f"pretrained_imagenet={imagenet}"), imagenet)
    elif network.visual.photographs is not None:
        _log.warning(
            "the network for photographs starts at random; give pretrained_imagenet=FILE, weights of torchvision"
        )
    if tables is not None:
        second = None if network.embedding.augmenting is None else tables.augmenting
        network.embedding.set_tables(tables.words, second)
    for part in (network.visual.meta, network.visual.autoencoder, network.visual.photographs):
        if freeze_encoders and part is not None:
            part.requires_grad_(False)
    return network


def _part(part: Any, given: str) -> Any:
    if part is None:
        raise RequestError(f"{given}: this choice of encoders has no such part; change encoders=, or leave it out")
    return part


def _state(
    path: str | Path,
    part: nn.Module,
    option: str,
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    authors: Callable[[], dict[str, Tensor]] | None = None,
) -> dict[str, Tensor]:
    """The state dict of a file in the names of our network, checked."""
    source = f"{option} '{path}'"
    try:
        state = convert(read_state_dict(path)) if authors is None else authors()
        check_state_dict(state, part.state_dict(), source=source)
    except Exception as error:  # torch raises many kinds on foreign files
        reason = str(error).split("\n", 1)[0][:400]
        raise RequestError(f"{source}: {reason}; give model.pt of its training, and the same features=") from error
    return state
