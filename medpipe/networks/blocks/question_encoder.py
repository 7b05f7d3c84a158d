"""Questions to vectors: word tables and a recurrent network, as in the bilinear attention networks and what follows them.

J-H Kim, J Jun, B-T Zhang, "Bilinear Attention Networks", NeurIPS 2018, https://arxiv.org/abs/1805.07932, and
https://github.com/jnhwkim/ban-vqa: each word has its GloVe vector and a mean over the words that it stands together with.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..choices import choose

__all__ = ["RECURRENT", "QuestionEncoder", "WordEmbedding"]

RECURRENT: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class WordEmbedding(nn.Module):
    """One or two tables of word vectors, whose entries of a word are joined; padding has zeros.

    Args:
        words: Number of words; this number itself stands for padding.
        dimensions: Numbers per word and table.
        augmenting: Whether there is a second table.
        train_augmenting: Whether the second table is trained.

    Shape:
        (B, T) word numbers to (B, T, features).
    """

    def __init__(
        self, words: int, *, dimensions: int = 300, augmenting: bool = True, train_augmenting: bool = True
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(words + 1, dimensions, padding_idx=words)
        self.augmenting = nn.Embedding(words + 1, dimensions, padding_idx=words) if augmenting else None
        if self.augmenting is not None:
            self.augmenting.weight.requires_grad_(train_augmenting)

    @property
    def features(self) -> int:
        """Numbers per word in all."""
        return self.words.embedding_dim * (1 if self.augmenting is None else 2)

    @torch.no_grad()
    def set_tables(self, words: Any, augmenting: Any = None) -> None:
        """Start from given vectors.

        Args:
            words: (words, dimensions), array or tensor, without padding.
            augmenting: The same of the second table; None for a copy of the first.

        Raises:
            ValueError: A table has another shape, or there is no second one to set.
        """
        if augmenting is not None and self.augmenting is None:
            raise ValueError("there is no second table; build the embedding with augmenting=True")
        second = words if augmenting is None else augmenting
        for table, given in ((self.words, words), (self.augmenting, second)):
            if table is None:
                continue
            values = torch.as_tensor(given, dtype=table.weight.dtype)
            if values.shape != table.weight[:-1].shape:
                raise ValueError(f"expected word vectors {tuple(table.weight[:-1].shape)}, found {tuple(values.shape)}")
            table.weight[:-1] = values

    def forward(self, tokens: Tensor) -> Tensor:
        """Look words up."""
        found: Tensor = self.words(tokens)
        return found if self.augmenting is None else torch.cat([found, self.augmenting(tokens)], dim=-1)


class QuestionEncoder(nn.Module):
    """One recurrent layer over all places of a question, padding included.

    The last state, at the last place, is the question's vector; all states are its tokens.

    Args:
        features: Numbers per word.
        hidden: Numbers per state.
        rnn: ``lstm`` or ``gru``.

    Raises:
        ValueError: The kind is unknown.

    Shape:
        (B, T, features) to (B, T, hidden).
    """

    def __init__(self, features: int, *, hidden: int = 1024, rnn: str = "lstm") -> None:
        super().__init__()
        self.rnn = RECURRENT[choose("recurrent layer", rnn, RECURRENT)](features, hidden, batch_first=True)

    def forward(self, words: Tensor) -> Tensor:
        """All states."""
        states: Tensor = self.rnn(words)[0]
        return states
