"""What a network for question answering is trained on: questions of a datalist, their vocabularies, and pictures in folders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.data.meta_manifest import picture_paths
from medpipe.data.plain_pickles import read_plain_pickle
from medpipe.data.vqa_datalist import load_vqa_datalist, vqa_entries
from medpipe.data.vqa_text import AnswerVocabulary, QuestionVocabulary, augmenting_table, read_glove
from medpipe.errors import InputDataError, RequestError

__all__ = [
    "WordTables",
    "answer_vocabulary",
    "arrays_of",
    "check_keep",
    "exported_facts",
    "file_hashes",
    "pictures_of_part",
    "question_vocabulary",
    "questions_if_any",
    "questions_of",
    "save_vocabularies",
    "stored_answers",
    "stored_questions",
    "vocabulary_hashes",
    "word_tables",
]

ANSWERS, QUESTIONS = "answers.json", "questions.json"
"""Vocabularies beside the weights that go with them."""

Entry = dict[str, Any]


def questions_of(datalist: str | Path, root: str | Path, section: str) -> list[Entry]:
    """Questions of a section, with the paths of their images.

    Raises:
        InputDataError: As :func:`medpipe.data.vqa_datalist.vqa_entries`.
    """
    return vqa_entries(datalist, root, section)


def questions_if_any(datalist: str | Path, root: str | Path, section: str) -> list[Entry]:
    """The same, and nothing where the section has no question: published splits often have no validation.

    Raises:
        InputDataError: The datalist is wrong, or an image is not on disk.
    """
    return vqa_entries(datalist, root, section) if load_vqa_datalist(datalist)[section] else []


def check_keep(keep: str, entries: Sequence[Entry]) -> None:
    """Refuse to keep the best epoch where nothing says which it is.

    Args:
        keep: ``last`` or ``best``.
        entries: For validation.

    Raises:
        RequestError: The word is unknown, or there are no questions for validation.
    """
    if keep not in ("last", "best"):
        raise RequestError(f"keep must be last or best, found {keep!r}")
    if keep == "best" and not entries:
        raise RequestError("keep=best goes by questions for validation, and the datalist has none; give keep=last")


def question_vocabulary(entries: Iterable[Entry], *, unknown: str = "unk") -> QuestionVocabulary:
    """The words of training questions.

    Args:
        entries: Of a datalist.
        unknown: ``unk``, or ``last_word`` as the authors' code has it.

    Raises:
        RequestError: The option is unknown, or there is no word.
    """
    try:
        return QuestionVocabulary.of((entry["question"] for entry in entries), profile="rad", unknown=unknown)
    except ValueError as error:
        raise RequestError(str(error)) from error


def answer_vocabulary(entries: Iterable[Entry], *, min_count: int = 0) -> AnswerVocabulary:
    """The answers that a network may give: those of training questions.

    Args:
        entries: Of a datalist.
        min_count: Answers to fewer questions are left out.

    Raises:
        RequestError: None is left.
    """
    try:
        return AnswerVocabulary.of((entry["answers"] for entry in entries), min_count=min_count)
    except ValueError as error:
        raise RequestError(str(error)) from error


def stored_questions(path: str | Path | None, weights: str | Path) -> QuestionVocabulary:
    """The words that weights know.

    Args:
        path: Their file; None for questions.json beside the weights.
        weights: The weight file.

    Raises:
        RequestError: There is no such file, or it is no vocabulary.
    """
    return QuestionVocabulary.load(_stored(path, weights, QUESTIONS, "questions"))


def stored_answers(path: str | Path | None, weights: str | Path) -> AnswerVocabulary:
    """The answers that weights can give; as :func:`stored_questions`, from answers.json."""
    return AnswerVocabulary.load(_stored(path, weights, ANSWERS, "answers"))


def _stored(path: str | Path | None, weights: str | Path, name: str, option: str) -> Path:
    found = Path(weights).parent / name if path is None else Path(path)
    if not Path(weights).is_file():
        raise RequestError(f"weight file '{weights}' does not exist; train the bundle, or give weights=FILE")
    if not found.is_file():
        raise RequestError(
            f"vocabulary '{found}' does not exist; it is written beside model.pt by the training: give {option}=FILE"
        )
    return found


def save_vocabularies(folder: str | Path, questions: QuestionVocabulary, answers: AnswerVocabulary) -> None:
    """Write questions.json and answers.json into a training's folder; several processes write the same, whole files."""
    questions.save(Path(folder) / QUESTIONS)
    answers.save(Path(folder) / ANSWERS)


@dataclass(frozen=True)
class WordTables:
    """Vectors of the words of a vocabulary, (words, dimensions) each.

    Attributes:
        words: As published.
        augmenting: Of each word the mean over those that it stands together with.
    """

    words: NDArray[np.float32]
    augmenting: NDArray[np.float32]


def word_tables(
    path: str | Path | None,
    vocabulary: QuestionVocabulary,
    entries: Iterable[Entry],
    dimensions: int = 300,
    augment: str = "intended",
) -> WordTables | None:
    """Published word vectors for a vocabulary; None without a file.

    Args:
        path: As glove.6B.300d.txt.
        vocabulary: Whose words.
        entries: Training questions, for the augmenting table.
        dimensions: Numbers per word of the file.
        augment: ``intended`` or ``as_released``; see ``augmenting_table``.

    Raises:
        RequestError: There is no such way to augment.
        InputDataError: The file cannot be read, has other dimensions, or none of the words.
    """
    if path is None:
        return None
    table = read_glove(path, vocabulary.words, dimensions)
    questions = (vocabulary.tokens(entry["question"]) for entry in entries)
    try:
        return WordTables(table, augmenting_table(questions, table, augment=augment))
    except ValueError as error:
        raise RequestError(str(error)) from error


def arrays_of(path: str | Path | None) -> dict[str, Any] | None:
    """Arrays by name of a pickle as the authors published it; None for a file of torch, and without a file.

    Raises:
        RequestError: The file is missing.
        InputDataError: It is neither.
    """
    if path is None or Path(path).suffix == ".safetensors":
        return None
    try:
        with Path(path).open("rb") as stream:
            is_torch = stream.read(2) == b"PK"
    except OSError as error:
        raise RequestError(f"weight file '{path}' cannot be read ({error.strerror or error})") from error
    if is_torch:
        return None
    content = read_plain_pickle(path, None)
    if not isinstance(content, dict):
        raise InputDataError(f"{path}: holds a {type(content).__name__}; expected arrays by name")
    return content


def file_hashes(**paths: str | Path | Sequence[str | Path] | None) -> dict[str, str | list[str] | None]:
    """SHA-256 of each file by its name, of several in their order; None where none is given.

    Raises:
        RequestError: A file cannot be read; the message names the option.
    """
    found: dict[str, str | list[str] | None] = {}
    for name, given in paths.items():
        if given is None or isinstance(given, str | Path):
            found[name] = None if given is None else _hash(name, given)
        else:
            found[name] = [_hash(name, path) for path in given]
    return found


def _hash(name: str, path: str | Path) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise RequestError(f"{name}={path} cannot be read ({error.strerror or error}); give another file") from error


def vocabulary_hashes(questions: QuestionVocabulary, answers: AnswerVocabulary) -> dict[str, str]:
    """What tells vocabularies from others, for the record of a run."""
    return {
        "questions": hashlib.sha256(repr(questions).encode()).hexdigest(),
        "answers": hashlib.sha256(repr(answers).encode()).hexdigest(),
    }


def exported_facts(questions: QuestionVocabulary, answers: AnswerVocabulary, **options: Any) -> dict[str, str]:
    """What an exported network says of itself and must agree with: hashes of its vocabularies, and what shapes it by name."""
    return {**vocabulary_hashes(questions, answers), **{name: str(value) for name, value in options.items()}}


def pictures_of_part(source: str | Path, part: str, *, test_fraction: float = 0.2, seed: int = 0) -> list[Entry]:
    """Pictures (JPEG, PNG, DICOM by their suffixes), divided by chance into training and test.

    Args:
        source: A folder, searched with all its folders; or a manifest of meta-data, whose classes do not matter here.
        part: "training" or "test".
        test_fraction: Share of the test, above 0 and below 1; of two or more pictures each part has at least one.
        seed: Of the division, which depends on the names alone.

    Returns:
        {"image": path} of each picture of the part, sorted.

    Raises:
        RequestError: The part or the fraction is wrong.
        InputDataError: The source holds fewer than two pictures, or the manifest is wrong.
    """
    if part not in ("training", "test"):
        raise RequestError(f"part must be training or test, found {part!r}")
    if not 0 < test_fraction < 1:
        raise RequestError(f"test_fraction must be above 0 and below 1, found {test_fraction}")
    found = picture_paths(source)
    if len(found) < 2:
        raise InputDataError(
            f"'{source}' holds {len(found)} pictures (.jpg, .png, .dcm); expected two or more, in a folder or a manifest"
        )
    count = min(max(1, round(len(found) * test_fraction)), len(found) - 1)
    test = set(np.random.default_rng(seed).permutation(len(found))[:count].tolist())
    return [{"image": str(path)} for place, path in enumerate(found) if (place in test) == (part == "test")]
