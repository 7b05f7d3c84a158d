"""Questions as word numbers and answers as candidates, as the published systems for visual question answering have them.

Questions are split by a profile: ``rad`` (also for PathVQA), ``vqa2`` or ``v7w``. Words are numbered in order of their first
appearance in training; the number after the last is padding. Answers are brought to one spelling by the rules of the
official VQA evaluation (https://github.com/GT-Vision-Lab/VQA), with what the medical systems add, and candidates are
numbered in order of first appearance too.

Differences from the released code, which are deliberate: an unknown word is ``<unk>`` (``unknown="last_word"`` takes
whatever word came last, as released), and the co-occurrence of words is divided by the frequency of the column's word (the
release divides other entries by mistake, as ``augment="as_released"`` does).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import InputDataError
from medpipe.io.atomic import write_text

from .names import nearest_names

__all__ = [
    "LENGTH",
    "PROFILES",
    "UNKNOWN",
    "AnswerVocabulary",
    "QuestionVocabulary",
    "augmenting_table",
    "normalize_answer",
    "read_glove",
    "tokenize",
]

LENGTH = 12
"""Words of a question that a network is given; longer ones are cut, shorter ones padded at the end."""

UNKNOWN = "<unk>"

_SUFFIXES = ("? -yes/no", "? -open", "? - open")
_COMMON = ((",", ""), ("?", ""), ("'s", " 's"))
PROFILES: dict[str, tuple[tuple[str, str], ...]] = {
    "vqa2": _COMMON,
    "v7w": (*_COMMON, (".", "")),
    "rad": (*((text, "") for text in _SUFFIXES), *_COMMON, ("...", ""), ("x ray", "x-ray"), (".", "")),
}
"""Replacements that come before a question is split at blanks, in order."""

Table = NDArray[np.float32]
_Kind = TypeVar("_Kind", "QuestionVocabulary", "AnswerVocabulary")


def tokenize(question: str, profile: str = "rad") -> list[str]:
    """The words of a question, in lower case.

    Raises:
        ValueError: The profile is unknown.
    """
    if profile not in PROFILES:
        raise ValueError(f"no profile of questions is named {profile!r}; {nearest_names(profile, PROFILES)}")
    text = question.lower()
    for found, instead in PROFILES[profile]:
        text = text.replace(found, instead)
    return text.split()


@dataclass(frozen=True)
class QuestionVocabulary:
    """The words of questions and their numbers.

    Attributes:
        words: In the order of their numbers.
        profile: How questions are split.
        length: Numbers that a question becomes.
    """

    words: tuple[str, ...]
    profile: str = "rad"
    length: int = LENGTH

    @classmethod
    def of(
        cls, questions: Iterable[str], *, profile: str = "rad", length: int = LENGTH, unknown: str = "unk"
    ) -> QuestionVocabulary:
        """The words of training questions.

        Args:
            questions: In the order of the data set.
            profile: A key of ``PROFILES``.
            length: Numbers that a question becomes.
            unknown: What an unknown word is taken for: ``unk``, a word of its own, or ``last_word``, as released.

        Raises:
            ValueError: There is no word, or an option is unknown.
        """
        if unknown not in ("unk", "last_word"):
            raise ValueError(f"unknown must be unk or last_word, found {unknown!r}")
        words = dict.fromkeys(word for question in questions for word in tokenize(question, profile))
        if not words:
            raise ValueError("a vocabulary needs at least one question with a word")
        return cls((*words, *([UNKNOWN] if unknown == "unk" else [])), profile, length)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Word -> number."""
        return {word: number for number, word in enumerate(self.words)}

    @property
    def padding(self) -> int:
        """The number that stands for no word."""
        return len(self.words)

    def tokens(self, question: str) -> list[int]:
        """Numbers of all words of a question; an unknown one has the last number there is."""
        return [self.numbers.get(word, self.padding - 1) for word in tokenize(question, self.profile)]

    def encode(self, question: str) -> list[int]:
        """The first ``length`` words, padded at the end."""
        found = self.tokens(question)[: self.length]
        return found + [self.padding] * (self.length - len(found))

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        _save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> QuestionVocabulary:
        """Read what ``save`` wrote.

        Raises:
            InputDataError: The file is no such vocabulary.
        """
        return _load(cls, path, "words")


@dataclass(frozen=True)
class AnswerVocabulary:
    """The answers that a network can give.

    Attributes:
        answers: Normalised, in the order of their numbers.
        medical: Whether they were normalised as the medical systems do.
    """

    answers: tuple[str, ...]
    medical: bool = True

    @classmethod
    def of(cls, answers: Iterable[Sequence[str]], *, min_count: int = 0, medical: bool = True) -> AnswerVocabulary:
        """Candidates from the answers to training questions: of each its most frequent one.

        Args:
            answers: One sequence per question, one text per annotator.
            min_count: Answers to fewer questions are left out.
            medical: As for ``normalize_answer``.

        Raises:
            ValueError: No answer is left.
        """
        counts = Counter(normalize_answer(_most_common(texts), medical=medical) for texts in answers)
        kept = tuple(answer for answer, count in counts.items() if count >= min_count)
        if not kept:
            raise ValueError(f"no answer stands {min_count} times; give a smaller min_count")
        return cls(kept, medical)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Normalised answer -> number."""
        return {answer: number for number, answer in enumerate(self.answers)}

    def target(self, answers: Sequence[str]) -> dict[int, float]:
        """Number of a candidate -> score, for one question.

        A single annotator's answer scores 1. Of several annotators', one given by 1, 2, 3 or more scores 0.3, 0.6, 0.9 or 1.
        Answers that are no candidates have no score.
        """
        counts = Counter(normalize_answer(answer, medical=self.medical) for answer in answers)
        scores = {answer: 1.0 if len(answers) == 1 else min(1.0, 0.3 * count) for answer, count in counts.items()}
        return {self.numbers[answer]: score for answer, score in scores.items() if answer in self.numbers}

    def targets(self, answers: Sequence[str]) -> Table:
        """The same as one row, (candidates,)."""
        row = np.zeros(len(self.answers), np.float32)
        for number, score in self.target(answers).items():
            row[number] = score
        return row

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        _save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> AnswerVocabulary:
        """Read what ``save`` wrote.

        Raises:
            InputDataError: The file is no such vocabulary.
        """
        return _load(cls, path, "answers")


def _most_common(texts: Sequence[str]) -> str:
    return Counter(texts).most_common(1)[0][0]


def _save(vocabulary: QuestionVocabulary | AnswerVocabulary, path: Path) -> None:
    write_text(Path(path), json.dumps(asdict(vocabulary), indent=1, ensure_ascii=False) + "\n")


def _load(kind: type[_Kind], path: str | Path, key: str) -> _Kind:
    try:
        content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        entries = content[key]
        if not entries or not all(isinstance(text, str) for text in entries) or len(set(entries)) < len(entries):
            raise ValueError(f"{key!r} must list different texts")
        return kind(**{**content, key: tuple(entries)})
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as fault:
        raise InputDataError(f"{path}: not readable as a vocabulary with {key!r}: {fault}") from fault


# Answers.

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_ARTICLES = {"a", "an", "the"}
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS: Mapping[str, str] = {"none": "0", **{word: str(number) for number, word in enumerate(_NUMBERS)}}

_FORMS = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock
oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's they'd
they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd where's
where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll
y'all'd've you'd you'd've you'll you're you've
"""
"""Forms of the official table; it lists each with one of its apostrophes forgotten."""


def _without_one_apostrophe(form: str) -> list[str]:
    return [form[:place] + form[place + 1 :] for place, sign in enumerate(form) if sign == "'"]


_CONTRACTIONS = {spelt: form for form in _FORMS.split() for spelt in _without_one_apostrophe(form)}
_CONTRACTIONS["somebody'd"] = "somebodyd"  # so in the official table


def normalize_answer(answer: str, *, medical: bool = True) -> str:
    """An answer in the one spelling in which answers are compared.

    Punctuation goes (or becomes a blank between two words), number words become digits, articles are dropped, and the
    official list of contractions gets its apostrophes.

    Args:
        answer: As written.
        medical: Also write ``x ray`` as ``xray``.
    """
    text = answer
    joined = _COMMA_IN_NUMBER.search(answer) is not None
    for sign in _PUNCTUATION:
        apart = joined or f"{sign} " in answer or f" {sign}" in answer
        text = text.replace(sign, "" if apart else " ")
    words = [_DIGITS.get(word, word) for word in _PERIOD.sub("", text).lower().split()]
    text = " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)
    return text.replace("x ray", "xray") if medical else text


# Word tables.


def read_glove(path: str | Path, words: Sequence[str], dimensions: int = 300) -> Table:
    """Vectors of words from an official GloVe text file (one word and its numbers per line), read line by line.

    Args:
        path: Such as ``glove.6B.300d.txt``.
        words: Those of a vocabulary.
        dimensions: Numbers per word.

    Returns:
        (words, dimensions) float32; a word that the file lacks has zeros.

    Raises:
        InputDataError: The file is missing, or a line of a word in the vocabulary has another number of numbers; none of the
            words is in it.
    """
    table, wanted, found = np.zeros((len(words), dimensions), np.float32), {}, 0
    for number, word in enumerate(words):
        wanted[word] = number
    try:
        with Path(path).open(encoding="utf-8") as file:
            for line, text in enumerate(file, start=1):
                word, _, numbers = text.partition(" ")
                if word in wanted:
                    table[wanted[word]] = _vector(numbers, dimensions, f"{path}, line {line}")
                    found += 1
    except (OSError, UnicodeDecodeError) as fault:
        raise InputDataError(f"word vectors '{path}' cannot be read ({fault}); give glove.6B.300d.txt") from fault
    if not found:
        raise InputDataError(f"word vectors '{path}' hold none of the {len(words):,} words; give glove.6B.300d.txt")
    return table


def _vector(numbers: str, dimensions: int, where: str) -> Table:
    try:
        vector = np.array(numbers.split(), np.float32)
    except ValueError as fault:
        raise InputDataError(f"{where}: no numbers after the word ({fault})") from fault
    if vector.shape != (dimensions,) or not np.isfinite(vector).all():
        raise InputDataError(f"{where}: {vector.size} numbers after the word; expected {dimensions} finite ones")
    return vector


def augmenting_table(questions: Iterable[Sequence[int]], table: Table, *, augment: str = "intended") -> Table:
    """Each word's vector replaced by a mean over the words it stands together with in a question.

    Every pair of places in a question counts for both of its words, divided by how often the other word is used in all. The
    released code divides, for each entry, not that entry, but the one whose place in the list of entries is the number of its
    word; so nearly all pairs count 1.

    Args:
        questions: Word numbers of the training questions (``QuestionVocabulary.tokens``), uncut and without padding.
        table: (words, dimensions).
        augment: ``intended``, or ``as_released``.

    Returns:
        (words, dimensions) float32; a word that stands alone has zeros.

    Raises:
        ValueError: The way is unknown.
    """
    from scipy.sparse import csr_matrix

    if augment not in ("intended", "as_released"):
        raise ValueError(f"augment must be intended or as_released, found {augment!r}")
    rows: list[int] = []
    columns: list[int] = []
    used: Counter[int] = Counter()
    for tokens in questions:
        used.update(tokens)
        for one, other in combinations(tokens, 2):  # in the order of the release, where the slip depends on it
            rows += [one, other]
            columns += [other, one]
    shares = 1 / np.array([used[column] for column in columns], np.float64)
    if augment == "intended":
        weights = shares
    else:
        weights, places = np.ones(len(columns)), np.array(columns, np.int64)
        there = places < len(columns)  # of few questions the release would stop with an error
        np.multiply.at(weights, places[there], shares[there])
    size = len(table)
    together = csr_matrix((weights, (rows, columns)), (size, size))
    sums = np.asarray(together.sum(axis=1)).ravel()
    mean = np.asarray(together @ table.astype(np.float64))
    return (mean / np.where(sums > 0, sums, 1)[:, None]).astype(np.float32)
