"""Mixture of enhanced visual features (MEVF): answering questions about small sets of radiology images.

Paper: B D Nguyen, T-T Do, B X Nguyen, T Do, E Tjiputra, Q D Tran, "Overcoming Data Limitation in Medical Visual Question
Answering", MICCAI 2019, https://arxiv.org/abs/1909.11867. Layer sizes are those of https://github.com/aioz-ai/MICCAI19-MedVQA.
The image's feature is a meta-learned network's and a denoising auto-encoder's, side by side; both are pretrained alone and
trained on with the rest.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .choices import choose
from .imagenet_features import IMAGENET, ImageNetFeatures
from .question_answerer import QuestionAnswerer, VisualTokens

__all__ = [
    "ENCODERS",
    "MEVF",
    "DenoisingAutoencoder",
    "EnhancedFeatures",
    "EpisodeClassifier",
    "MetaEncoder",
]

ENCODERS = ("both", "maml", "cdae", *IMAGENET, "none")
VISUAL_TOKENS = ("one", "grid")

_META_SIDE, _DENOISING_SIDE = 84, 128
_CODE_CHANNELS, _CODE_STRIDE = 16, 4
_PHOTOGRAPH_SIDE = 32  # least rows and columns that networks for photographs can halve five times


class MetaEncoder(nn.Module):
    """Four strided convolutions, each with ReLU and then batch normalisation, and the mean over the last map.

    Args:
        in_channels: Of the images.
        channels: Of every layer, and of the feature.

    Shape:
        (B, in_channels, 84, 84) in [0, 1] to (B, channels); other sizes are possible.
    """

    def __init__(self, in_channels: int = 1, *, channels: int = 64) -> None:
        super().__init__()
        widths = [in_channels, channels, channels, channels, channels]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels, momentum=0.05) for _ in range(4))
        self.features = channels

    def maps(self, images: Tensor) -> Tensor:
        """The last map, (B, channels, 6, 6) for images of 84 by 84."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            images = norm(F.relu(convolution(images)))
        return images

    def forward(self, images: Tensor) -> Tensor:
        """The feature."""
        return self.maps(images).mean(dim=(2, 3))


class EpisodeClassifier(nn.Module):
    """An encoder with a linear layer to the classes of an episode, for meta-learning; afterwards the encoder is kept.

    Args:
        encoder: With ``features``, the length of its output.
        ways: Classes of an episode.

    Shape:
        Images to (B, ways), logits.
    """

    def __init__(self, encoder: MetaEncoder, ways: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.features, ways)

    def forward(self, images: Tensor) -> Tensor:
        """The logits."""
        logits: Tensor = self.head(self.encoder(images))
        return logits


class DenoisingAutoencoder(nn.Module):
    """A convolutional auto-encoder; noise is added by whoever trains it.

    Shape:
        (B, 1, H, W) in [0, 1], sides divisible by 4, to the same; the code is (B, 16, H / 4, W / 4).
    """

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Conv2d(1, 64, 3, padding=1)
        self.down2 = nn.Conv2d(64, 32, 3, padding=1)
        self.code = nn.Conv2d(32, _CODE_CHANNELS, 3, padding=1)
        self.up1 = nn.ConvTranspose2d(_CODE_CHANNELS, 32, 3, stride=2, padding=1, output_padding=1)
        self.smooth = nn.Conv2d(32, 32, 3, padding=1)
        self.up2 = nn.ConvTranspose2d(32, 64, 3, stride=2, padding=1, output_padding=1)
        self.image = nn.Conv2d(64, 1, 3, padding=1)
        # A third faster on a CPU. Not for networks with batch normalisation, whose statistics torch then sums less exactly.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, images: Tensor) -> Tensor:
        """The code.

        Raises:
            ValueError: A side is not divisible by 4.
        """
        # The tracer would warn that this comparison becomes a constant.
        if not torch.jit.is_tracing() and (images.shape[-1] % _CODE_STRIDE or images.shape[-2] % _CODE_STRIDE):
            raise ValueError(f"sides of images must be divisible by {_CODE_STRIDE}, found {tuple(images.shape[-2:])}")
        found = F.max_pool2d(F.relu(self.down1(images)), 2)
        found = F.max_pool2d(F.relu(self.down2(found)), 2)
        return F.relu(self.code(found))

    def decode(self, code: Tensor) -> Tensor:
        """The image of a code."""
        found = F.relu(self.smooth(F.relu(self.up1(code))))
        return torch.sigmoid(self.image(F.relu(self.up2(found))))

    def forward(self, images: Tensor) -> Tensor:
        """The reconstruction."""
        return self.decode(self.encode(images))


class EnhancedFeatures(VisualTokens):
    """Visual tokens of an image from one or both encoders, or from what the paper compares them with.

    Args:
        encoders: ``both``, ``maml`` or ``cdae``; ``vgg16`` or ``resnet34`` for a network for photographs; ``none`` for one token
            of zeros, whatever the image.
        features: Of the meta-learned encoder, and of the auto-encoder.
        denoising_side: Rows and columns of the auto-encoder's images.
        tokens: ``one``, as published; or ``grid``: the places of the meta-learned map, each beside the auto-encoder's feature, or
            those of the map of the network for photographs.

    Attributes:
        noise: Standard deviation of what is added to the auto-encoder's image in training; 0 until it is set.
        images: Which of the two images are looked at: "small", "large".

    Raises:
        ValueError: A name is unknown, or a grid is asked for without a map, or images are too small for a network for photographs.

    Shape:
        Images (B, 1, 84, 84) and (B, 1, 128, 128) to (B, 1, width), or (B, 36, width); what is not used may be None. A network
        for photographs takes the larger one, whose grid has 16 places. ``none`` gives (1, 1, width).
    """

    nothing: Tensor

    def __init__(
        self,
        encoders: str = "both",
        *,
        features: int = 64,
        denoising_side: int = _DENOISING_SIDE,
        tokens: str = "one",
    ) -> None:
        super().__init__()
        choose("set of encoders", encoders, ENCODERS)
        choose("kind of visual tokens", tokens, VISUAL_TOKENS)
        if tokens == "grid" and encoders in ("cdae", "none"):
            raise ValueError(
                f"a grid of visual tokens needs an encoder with a map, and encoders={encoders} has none; give encoders=both, "
                f"maml, {' or '.join(IMAGENET)}"
            )
        if encoders in IMAGENET and denoising_side < _PHOTOGRAPH_SIDE:
            raise ValueError(
                f"encoders={encoders} needs images of {_PHOTOGRAPH_SIDE} or more rows, found {denoising_side}; give a larger "
                "large_side"
            )
        self.tokens, self.noise = tokens, 0.0
        self.meta = MetaEncoder(channels=features) if encoders in ("both", "maml") else None
        self.autoencoder = DenoisingAutoencoder() if encoders in ("both", "cdae") else None
        self.photographs = ImageNetFeatures(encoders) if encoders in IMAGENET else None
        if self.photographs is not None:
            self.width = self.photographs.features
        else:
            self.width = max(1, features * sum(part is not None for part in (self.meta, self.autoencoder)))
        code = _CODE_CHANNELS * (denoising_side // _CODE_STRIDE) ** 2
        self.convert = nn.Linear(code, features) if self.autoencoder is not None else None
        self.register_buffer("nothing", torch.zeros(1, 1, 1), persistent=False)
        uses = {"small": self.meta is not None, "large": (self.autoencoder or self.photographs) is not None}
        self.images = tuple(name for name, used in uses.items() if used)

    def forward(self, small: Tensor | None, large: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The tokens, and in training the auto-encoder's reconstruction of its image.

        Args:
            small: For the meta-learned encoder.
            large: For the auto-encoder, or for a network for photographs.

        Raises:
            ValueError: An image is missing that an encoder needs.
        """
        if self.photographs is not None:
            return self._of_map(self.photographs(_given(large, "128 x 128"))), None
        parts: list[Tensor] = []
        if self.meta is not None:
            parts.append(self._of_map(self.meta.maps(_given(small, "84 x 84"))))
        reconstruction = None
        if self.autoencoder is not None and self.convert is not None:
            code = self.autoencoder.encode(self._noisy(_given(large, "128 x 128")))
            reconstruction = self.autoencoder.decode(code) if self.training else None
            feature = self.convert(code.flatten(1))[:, None]
            parts.append(feature.expand(-1, parts[0].shape[1], -1) if parts else feature)
        return torch.cat(parts, dim=2) if parts else self.nothing, reconstruction

    def _noisy(self, images: Tensor) -> Tensor:
        return images + self.noise * torch.randn_like(images) if self.training and self.noise else images

    def _of_map(self, found: Tensor) -> Tensor:
        """All places of a map (B, features, rows, columns), or their mean: (B, places, features)."""
        places = found.flatten(2).transpose(1, 2)
        return places if self.tokens == "grid" else places.mean(dim=1, keepdim=True)


def _given(images: Tensor | None, size: str) -> Tensor:
    if images is None:
        raise ValueError(f"the images of {size} are missing; this choice of encoders needs them")
    return images


class MEVF(QuestionAnswerer):
    """Answers from a question and the enhanced features of an image.

    Modes and outputs are those of ``QuestionAnswerer``; ``reconstruction`` and ``image`` are there with the auto-encoder.

    Args:
        words: Number of words of the question vocabulary, without padding.
        answers: Number of candidates.
        attention: ``san`` or ``ban``.
        encoders: ``both``, ``maml`` or ``cdae``; ``vgg16`` or ``resnet34``, which the paper compares with; ``none`` to answer from
            the question alone.
        rnn: ``lstm`` or ``gru``.
        hidden: Numbers per question state and joint feature.
        hops: Of ``san``.
        glimpses: Of ``ban``.
        dropout: Of the classifier and of ``san``.
        dimensions: Of each word table.
        augmenting: Whether words have a second table.
        train_augmenting: Whether the second table is trained.
        features: Of the meta-learned encoder, and of the auto-encoder.
        denoising_side: Rows and columns of the larger images.
        visual_tokens: ``one``, as published; or ``grid``.

    Raises:
        ValueError: A name is unknown, or a number is not allowed.

    Shape:
        Questions (B, 12) word numbers, images (B, 1, 84, 84) and (B, 1, 128, 128) in [0, 1] to (B, answers).
    """

    def __init__(
        self,
        words: int,
        answers: int,
        *,
        attention: str = "ban",
        encoders: str = "both",
        rnn: str = "lstm",
        hidden: int = 1024,
        hops: int = 2,
        glimpses: int = 2,
        dropout: float = 0.5,
        dimensions: int = 300,
        augmenting: bool = True,
        train_augmenting: bool = True,
        features: int = 64,
        denoising_side: int = _DENOISING_SIDE,
        visual_tokens: str = "one",
    ) -> None:
        super().__init__(
            words,
            answers,
            lambda: EnhancedFeatures(encoders, features=features, denoising_side=denoising_side, tokens=visual_tokens),
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
