"""The part that answers a question from visual tokens of an image, whatever encoders these come from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .blocks.answer_classifier import AnswerClassifier
from .blocks.bilinear_attention import BilinearAttentionNetwork
from .blocks.question_encoder import QuestionEncoder, WordEmbedding
from .blocks.stacked_attention import StackedAttention
from .choices import choose

__all__ = ["ATTENTION", "QuestionAnswerer", "VisualTokens"]

ATTENTION = ("san", "ban")


class VisualTokens(nn.Module):
    """What gives the tokens of an image: (B, places, ``width``), and in training a reconstruction of it, or None.

    Attributes:
        width: Numbers of a token.
    """

    width: int


class QuestionAnswerer(nn.Module):
    """Words, a recurrent network, attention that joins it with visual tokens, and a classifier of answers.

    In evaluation mode ``forward`` returns the logits. In training mode it returns a dictionary: ``logits``, (B, answers),
    and, where ``visual`` reconstructs its image, ``reconstruction`` and ``image``, which it should equal.

    Args:
        words: Number of words of the question vocabulary, without padding.
        answers: Number of candidates.
        visual: Makes what gives the visual tokens.
        attention: ``san`` or ``ban``.
        rnn: ``lstm`` or ``gru``.
        hidden: Numbers per question state and joint feature.
        hops: Of ``san``.
        glimpses: Of ``ban``.
        dropout: Of the classifier and of ``san``.
        dimensions: Of each word table.
        augmenting: Whether words have a second table.
        train_augmenting: Whether the second table is trained.

    Raises:
        ValueError: A name is unknown, or a number is not allowed.

    Shape:
        Questions (B, 12) word numbers, a smaller and a larger image of each, to (B, answers).
    """

    def __init__(
        self,
        words: int,
        answers: int,
        visual: Callable[[], VisualTokens],
        *,
        attention: str = "ban",
        rnn: str = "lstm",
        hidden: int = 1024,
        hops: int = 2,
        glimpses: int = 2,
        dropout: float = 0.5,
        dimensions: int = 300,
        augmenting: bool = True,
        train_augmenting: bool = True,
    ) -> None:
        super().__init__()
        if min(words, answers) < 1:
            raise ValueError(f"words and answers must be at least 1, found {words} and {answers}")
        self.embedding = WordEmbedding(
            words, dimensions=dimensions, augmenting=augmenting, train_augmenting=train_augmenting
        )
        self.question = QuestionEncoder(self.embedding.features, hidden=hidden, rnn=rnn)
        self.visual = visual()
        self.fusion: nn.Module
        if choose("attention", attention, ATTENTION) == "san":
            self.fusion = StackedAttention(self.visual.width, hidden, hops=hops, dropout=dropout)
        else:
            self.fusion = BilinearAttentionNetwork(self.visual.width, hidden, glimpses=glimpses)
        self.classifier = AnswerClassifier(hidden, answers, dropout=dropout)

    def joint(self, questions: Tensor, small: Tensor | None, large: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The joint feature, (B, hidden), and the reconstruction in training."""
        tokens, states, reconstruction = self._encoded(questions, small, large)
        return self.fusion(tokens, None, states), reconstruction

    @torch.no_grad()
    def shares(self, questions: Tensor, small: Tensor | None = None, large: Tensor | None = None) -> Tensor | None:
        """What is attended to: (B, glimpses, places, 12) with ``ban``, (B, hops, places) with ``san``; each map sums to 1.

        None where ``san`` has one place alone, whose share is always 1. Padding after a question is attended to like its words.
        """
        tokens, states, _ = self._encoded(questions, small, large)
        if isinstance(self.fusion, StackedAttention) and tokens.shape[1] == 1:
            return None
        found: Tensor = self.fusion.shares(tokens, None, states)  # type: ignore[operator]
        return found

    def _encoded(
        self, questions: Tensor, small: Tensor | None, large: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Visual tokens, question states, and the reconstruction in training."""
        tokens, reconstruction = self.visual(small, large)
        states = self.question(self.embedding(questions))
        return tokens.expand(states.shape[0], -1, -1), states, reconstruction

    def forward(
        self, questions: Tensor, small: Tensor | None = None, large: Tensor | None = None
    ) -> Tensor | dict[str, Tensor]:
        """Answer; see the class for what is returned in which mode."""
        feature, reconstruction = self.joint(questions, small, large)
        logits: Tensor = self.classifier(feature)
        if not self.training:
            return logits
        if reconstruction is None or large is None:
            return {"logits": logits}
        return {"logits": logits, "reconstruction": reconstruction, "image": large}
