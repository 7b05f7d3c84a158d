"""Multiple meta-model quantifying (MMQ): answering questions about images through several meta-learned encoders.

Paper: T Do, B X Nguyen, E Tjiputra, M Tran, Q D Tran, A Nguyen, "Multiple Meta-model Quantifying for Medical Visual Question
Answering", MICCAI 2021, https://arxiv.org/abs/2105.08913. Layer sizes are those of https://github.com/aioz-ai/MICCAI21_MMQ.
Each encoder comes from one round of meta-learning, between which the meta-data are refined; their features stand side by side,
with the code of a denoising auto-encoder where that is wanted, and answer as in MEVF.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .choices import choose
from .mevf import DenoisingAutoencoder
from .question_answerer import QuestionAnswerer, VisualTokens

__all__ = ["MMQ", "NORMS", "PROFILES", "MetaFeatures", "MetaLearner", "PatchEncoder"]

NORMS = ("running", "batch")


@dataclass(frozen=True)
class Profile:
    """The layers of an encoder.

    Attributes:
        colours: Channels of the images.
        channels: Of every layer, and of the feature.
        convolutions: Size and stride of each, without padding.
        pools: Stride of the maximum over 2 by 2 behind each; none where it is empty.
    """

    colours: int
    channels: int
    convolutions: tuple[tuple[int, int], ...]
    pools: tuple[int, ...] = ()


PROFILES = {
    "rad": Profile(1, 64, ((3, 2), (3, 2), (3, 2), (2, 1))),
    "path_vqa": Profile(3, 32, ((3, 1), (3, 1), (3, 1), (3, 1)), (2, 2, 2, 1)),
}
"""By the data set that it was published for."""


class PatchEncoder(nn.Module):
    """Four convolutions without padding, each with ReLU, batch normalisation and perhaps a pool; the mean over the last map.

    Args:
        profile: ``rad`` (1 channel) or ``path_vqa`` (3 channels, with pools).
        channels: Of every layer, and of the feature; None for the published number.
        norms: ``running``: evaluation uses statistics that training collected. ``batch``: always those of the batch, as in the
            authors' code, so that an answer depends on what it is asked with.

    Raises:
        ValueError: A name is unknown.

    Shape:
        (B, 1, 84, 84) in [0, 1], or (B, 3, 84, 84) normalised as photographs are, to (B, channels); other sizes are possible.
    """

    def __init__(self, profile: str = "rad", *, channels: int | None = None, norms: str = "running") -> None:
        super().__init__()
        self.profile = PROFILES[choose("profile", profile, PROFILES)]
        self.colours = self.profile.colours
        collects = choose("kind of batch normalisation", norms, NORMS) == "running"
        self.features = self.profile.channels if channels is None else channels
        widths = [self.profile.colours, *[self.features] * len(self.profile.convolutions)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, size, stride)
            for (before, after), (size, stride) in zip(pairwise(widths), self.profile.convolutions, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, track_running_stats=collects) for width in widths[1:])
        for convolution in self.convolutions:
            _initialize(convolution)

    def maps(self, images: Tensor) -> Tensor:
        """The last map: (B, 64, 8, 8) of ``rad``, (B, 32, 5, 5) of ``path_vqa`` for images of 84 by 84."""
        for place, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            images = norm(F.relu(convolution(images)))
            if self.profile.pools:
                images = F.max_pool2d(images, 2, self.profile.pools[place])
        return images

    def map_side(self, side: int) -> int:
        """Rows and columns of the last map for images of a size.

        Raises:
            ValueError: The images are too small for the layers.
        """
        left = side
        for place, (size, stride) in enumerate(self.profile.convolutions):
            left = (left - size) // stride + 1
            left = (left - 2) // self.profile.pools[place] + 1 if self.profile.pools else left
        if left < 1:
            raise ValueError(
                f"images of {side} rows are too small for the encoder; give a larger small_side, such as 84"
            )
        return left

    def forward(self, images: Tensor) -> Tensor:
        """The feature."""
        return self.maps(images).mean(dim=(2, 3))


def _initialize(layer: nn.Module) -> None:
    """As published: He's normal distribution for the weights, 0 for the biases."""
    nn.init.kaiming_normal_(layer.weight)  # type: ignore[arg-type]
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


class MetaLearner(nn.Module):
    """An encoder with a linear layer from its last map to the classes of an episode; statistics are always those of the batch.

    Args:
        classes: Of an episode, with the one for all further classes.
        profile: As of ``PatchEncoder``.
        channels: As of ``PatchEncoder``.
        side: Rows and columns of the images.

    Raises:
        ValueError: A name is unknown, or images are too small.

    Shape:
        Images to (B, classes), logits.
    """

    def __init__(self, classes: int = 4, *, profile: str = "rad", channels: int | None = None, side: int = 84) -> None:
        super().__init__()
        self.encoder = PatchEncoder(profile, channels=channels, norms="batch")
        self.head = nn.Linear(self.encoder.features * self.encoder.map_side(side) ** 2, classes)
        _initialize(self.head)

    def forward(self, images: Tensor) -> Tensor:
        """The logits."""
        logits: Tensor = self.head(self.encoder.maps(images).flatten(1))
        return logits


class MetaFeatures(VisualTokens):
    """One visual token: the features of several encoders, and of an auto-encoder's code, side by side.

    Args:
        models: Number of encoders.
        profile: Of the encoders.
        channels: Of the encoders; None for the published number.
        norms: Of the encoders.
        with_cdae: Whether the auto-encoder is there.
        side: Rows and columns of the encoders' images.
        denoising_side: Rows and columns of the auto-encoder's images.

    Attributes:
        images: Which images are looked at: "small", "large".
        colours: Of the small one.

    Raises:
        ValueError: There is no encoder, a name is unknown, or images are too small.

    Shape:
        Images for the encoders, and (B, 1, 128, 128) in [0, 1] for the auto-encoder, to (B, 1, width).
    """

    photographs = None  # what MEVF may look through besides

    def __init__(
        self,
        models: int = 3,
        *,
        profile: str = "rad",
        channels: int | None = None,
        norms: str = "running",
        with_cdae: bool = False,
        side: int = 84,
        denoising_side: int = 128,
    ) -> None:
        super().__init__()
        if models < 1:
            raise ValueError(f"models must be at least 1, found {models}")
        self.meta = nn.ModuleList(PatchEncoder(profile, channels=channels, norms=norms) for _ in range(models))
        self.meta[0].map_side(side)  # type: ignore[operator]
        features, self.colours = self.meta[0].features, self.meta[0].colours
        self.autoencoder = DenoisingAutoencoder() if with_cdae else None
        self.convert = nn.Linear(16 * (denoising_side // 4) ** 2, features) if with_cdae else None  # type: ignore[arg-type]
        self.width: int = features * (models + with_cdae)  # type: ignore[assignment,operator]
        self.images = ("small", "large") if with_cdae else ("small",)

    def forward(self, small: Tensor | None, large: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The token, and in training the auto-encoder's reconstruction of its image.

        Raises:
            ValueError: An image is missing.
        """
        if small is None or (large is None and self.autoencoder is not None):
            raise ValueError(f"an image is missing; the encoders look at: {', '.join(self.images)}")
        parts = [encoder(small) for encoder in self.meta]
        reconstruction = None
        if self.autoencoder is not None and self.convert is not None and large is not None:
            code = self.autoencoder.encode(large)
            reconstruction = self.autoencoder.decode(code) if self.training else None
            parts.append(self.convert(code.flatten(1)))
        return torch.cat(parts, dim=1)[:, None], reconstruction


class MMQ(QuestionAnswerer):
    """Answers from a question and the features of several meta-learned encoders; modes and outputs are those of
    ``QuestionAnswerer``.

    Args:
        words: Number of words of the question vocabulary, without padding.
        answers: Number of candidates.
        models: Number of meta-learned encoders.
        profile: ``rad`` or ``path_vqa``.
        norms: ``running`` or ``batch``.
        with_cdae: Add the code of an auto-encoder (MMQ + MEVF).
        attention: ``san`` or ``ban``.
        rnn: ``lstm`` or ``gru``.
        hidden: Numbers per question state and joint feature.
        hops: Of ``san``.
        glimpses: Of ``ban``.
        dropout: Of the classifier and of ``san``.
        dimensions: Of each word table.
        augmenting: Whether words have a second table.
        train_augmenting: Whether the second table is trained.
        features: Of each encoder; None for the published number.
        side: Rows and columns of the encoders' images.
        denoising_side: Rows and columns of the auto-encoder's images.

    Raises:
        ValueError: A name is unknown, or a number is not allowed.

    Shape:
        Questions (B, 12) word numbers, images (B, colours, 84, 84) and (B, 1, 128, 128) to (B, answers).
    """

    def __init__(
        self,
        words: int,
        answers: int,
        *,
        models: int = 3,
        profile: str = "rad",
        norms: str = "running",
        with_cdae: bool = False,
        attention: str = "ban",
        rnn: str = "lstm",
        hidden: int = 1024,
        hops: int = 2,
        glimpses: int = 2,
        dropout: float = 0.5,
        dimensions: int = 300,
        augmenting: bool = True,
        train_augmenting: bool = True,
        features: int | None = None,
        side: int = 84,
        denoising_side: int = 128,
    ) -> None:
        super().__init__(
            words,
            answers,
            lambda: MetaFeatures(
                models,
                profile=profile,
                channels=features,
                norms=norms,
                with_cdae=with_cdae,
                side=side,
                denoising_side=denoising_side,
            ),
            attention=attention,
            rnn=rnn,
            hidden=hidden,
            hops=hops,
            glimpses=glimpses,
            dropout=dropout,
            dimensions=dimensions,
            augmenting=augmenting,
            train_augmenting=train_augmenting,
        )
