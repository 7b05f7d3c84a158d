"""Words and answers as the authors of MEVF and MMQ published them, in pickles of plain data.

dictionary.pkl is a list of two: word -> number, and the words in order. trainval_ans2label.pkl has answer -> number,
trainval_label2ans.pkl the answers in order. The networks that go with them take an unknown word for the last word there is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medpipe.data.plain_pickles import read_plain_pickle
from medpipe.data.vqa_text import AnswerVocabulary, QuestionVocabulary
from medpipe.errors import InputDataError

__all__ = ["read_authors_answers", "read_authors_words"]


def read_authors_words(path: str | Path) -> QuestionVocabulary:
    """The words of dictionary.pkl.

    Raises:
        InputDataError: The file is no such pickle, or its two parts disagree.
    """
    content = read_plain_pickle(path, ())
    if not isinstance(content, list | tuple) or len(content) != 2 or not isinstance(content[1], list):
        raise InputDataError(f"{path}: expected a dictionary of words and their list, as in dictionary.pkl")
    words = _ordered(content[0], f"{path}: words")
    if words != tuple(content[1]):
        raise InputDataError(f"{path}: the list of words is not in the order of their numbers")
    return QuestionVocabulary(words)


def read_authors_answers(path: str | Path) -> AnswerVocabulary:
    """The candidates of trainval_ans2label.pkl, or of trainval_label2ans.pkl.

    Raises:
        InputDataError: The file is no such pickle.
    """
    content = read_plain_pickle(path, ())
    if isinstance(content, list):
        content = {answer: number for number, answer in enumerate(content)} if _hashable(content) else None
    return AnswerVocabulary(_ordered(content, f"{path}: answers"))


def _ordered(numbers: Any, what: str) -> tuple[str, ...]:
    """Texts in the order of their numbers, which must be 0, 1, ..."""
    if not isinstance(numbers, dict) or not numbers or not all(type(number) is int for number in numbers.values()):
        raise InputDataError(f"{what}: expected a number for each of them")
    ordered = sorted(numbers.items(), key=lambda pair: pair[1])
    if [number for _, number in ordered] != list(range(len(ordered))):
        raise InputDataError(f"{what}: expected the numbers 0 to {len(ordered) - 1}, each once")
    texts = tuple(str(text) for text, _ in ordered)
    if len(set(texts)) < len(texts):
        raise InputDataError(f"{what}: two of them are the same text")
    return texts


def _hashable(content: list[Any]) -> bool:
    return all(isinstance(text, str | int) for text in content) and len(set(content)) == len(content)
