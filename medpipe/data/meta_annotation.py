"""Coarse classes of images, read from the questions that were asked about them.

MEVF and MMQ meta-learn on nine classes: a body part (head, chest, abdomen) that is normal, that has something in it which does
not belong there (fluid, air, a mass), or whose organs are enlarged or displaced. Their labels were never published. Here they
are guessed from the words of training questions and answers, by the lists below. **The labels are noisy**: an answer may be
about another organ than the question's neighbour, a mass may be a normal structure. MMQ is made for such labels; whoever
needs right ones has to look at the images.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError

from .meta_manifest import MetaImage, MetaManifest
from .vqa_datalist import load_vqa_datalist, vqa_entries

__all__ = ["ORGANS", "STATES", "annotate_datalist", "evidence", "state_of"]

Entry = dict[str, Any]
ORGANS = {"HEAD": "head", "CHEST": "chest", "ABD": "abdomen"}
STATES = ("normal", "abnormal_present", "abnormal_organ")
_NORMAL, _PRESENT, _CHANGED = STATES

_WORDS = {  # beginnings of words
    _CHANGED: """enlarg dilat displac shift deviat widen cardiomegal hepatomegal splenomegal organomegal hydrocephal atroph
        swollen swelling herniat hyperinflat distend distension compress""",
    _PRESENT: """fluid effusion air pneumothora hydropneumothora pneumoperitone mass masses tumor tumour lesion nodul cyst
        abscess hemorrhag haemorrhag bleed hematoma haematoma infarct edema oedema pneumonia consolidat infiltrat opacit
        opacif calcif fractur lymphadenopath metasta aneurysm ascites thrombos embol stranding bulla""",
}
_WHOLE = {"air", "mass", "masses", "bulla"}
_PATTERNS = {
    state: re.compile(r"\b(?:" + "|".join(word + r"\b" * (word in _WHOLE) for word in words.split()) + ")")
    for state, words in _WORDS.items()
}
_SOUND = re.compile(r"\b(?:normal|healthy|midline)\b")  # answered "yes" where nothing is wrong
_WRONG = re.compile(r"\b(?:abnormal|patholog|wrong|disease|finding)")
_NOTHING = re.compile(r"^(?:no|none|nothing|normal|not? (?:abnormal\w*|patholog\w*)|healthy)\b")
_ALL_OF_IT = re.compile(r"\b(?:image|film|scan|study|x-?ray|radiograph|ct|mri|patient)\b")

_SOUND_AS_A_WHOLE, _SOUND_IN_PART, _WRONG_SOMEHOW = "sound", "sound in part", "wrong"


def annotate_datalist(datalist: str | Path, root: str | Path, unlabelled: Sequence[Path] = ()) -> MetaManifest:
    """A manifest of the images of a datalist's training section; those of other sections alone stay out of it.

    Args:
        datalist: Of questions, with the organ of each image.
        root: Folder that its paths start from.
        unlabelled: Further images, below ``root``, that get no class; those of other sections are left out, as ``source`` says.

    Raises:
        InputDataError: The datalist is wrong, names no organ, or a further image is not below ``root``.
    """
    about: dict[str, list[Entry]] = defaultdict(list)
    for entry in vqa_entries(datalist, root, "training"):
        about[Path(entry["image"]).relative_to(root).as_posix()].append(entry)
    if not any("organ" in entry for entries in about.values() for entry in entries):
        raise InputDataError(
            f"datalist '{datalist}' names the organ of no image, so that no class can be guessed from its questions (PathVQA is "
            "such a set); sort images into folders, train/<class>/ and train_unlabel/, and give that folder"
        )
    images = [_annotated(image, entries) for image, entries in sorted(about.items())]
    content = load_vqa_datalist(datalist)
    later = {Path(one["image"]).as_posix() for part in ("validation", "test") for one in content[part]} - about.keys()
    further = [name for name in _further(unlabelled, Path(root)) if name not in about]
    images += [MetaImage(name, None, "no question") for name in further if name not in later]
    source = f"words of the training questions of {Path(datalist).name}; noisy"
    if count := sum(name in later for name in further):
        source += f"; without {count} images of its validation and test"
    return MetaManifest(Path(root), tuple(images), source)


def _further(paths: Iterable[Path], root: Path) -> list[str]:
    try:
        return list(dict.fromkeys(path.resolve().relative_to(root.resolve()).as_posix() for path in paths))
    except ValueError as error:
        raise InputDataError(f"images without labels must lie below '{root}'; {error}") from error


def _annotated(image: str, entries: Sequence[Entry]) -> MetaImage:
    organs = {str(entry.get("organ", "")).upper() for entry in entries}
    if len(organs) != 1 or not organs <= ORGANS.keys():
        return MetaImage(image, None, f"body part unknown: {', '.join(sorted(organs)) or 'not said'}")
    state, reason = state_of(entries)
    return MetaImage(image, None if state is None else f"{ORGANS[organs.pop()]}_{state}", reason)


def state_of(entries: Sequence[Entry]) -> tuple[str | None, str]:
    """One of ``STATES``, or None, from all questions about an image; and why.

    More questions that speak of a change win over fewer of the other kind. Where as many speak of both, or the image is
    called normal and yet shown to have something, there is no class.

    Args:
        entries: With "question" and "answers".
    """
    said: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if (found := evidence(entry["question"], entry["answers"])) is not None:
            said[found].append(entry)
    count = Counter({kind: len(found) for kind, found in said.items()})
    present, changed = count[_PRESENT], count[_CHANGED]
    if present or changed:
        if count[_SOUND_AS_A_WHOLE]:
            return None, "contradictory: called normal, and yet " + _shown(said[_PRESENT] or said[_CHANGED])
        if present == changed:
            return None, f"as many questions speak of {_PRESENT} as of {_CHANGED}: {present}"
        state = _PRESENT if present > changed else _CHANGED
        return state, _shown(said[state])
    if count[_WRONG_SOMEHOW]:
        return None, "abnormal, but not said how: " + _shown(said[_WRONG_SOMEHOW])
    sound = said[_SOUND_AS_A_WHOLE] or said[_SOUND_IN_PART]
    return (_NORMAL, _shown(sound)) if sound else (None, "no question says whether it is normal")


def _shown(entries: Sequence[Entry]) -> str:
    first = entries[0]
    return f"{len(entries)} answers such as '{first['question'].strip()}' {str(first['answers'][0]).strip()!r}"


def evidence(question: str, answers: Sequence[str]) -> str | None:
    """What a question with its answers says of an image; None for nothing.

    Returns:
        A state that is there, "sound" or "sound in part" for what is not, "wrong" for something unnamed.
    """
    asked, answer = question.lower(), " ".join(answers).lower().strip()
    verdict = re.match(r"(yes|no)\b", answer)
    if verdict is None:
        return _open_evidence(asked, answer)
    affirmed = verdict[1] == "yes"
    whole = _SOUND_AS_A_WHOLE if _ALL_OF_IT.search(asked) else _SOUND_IN_PART
    if "midline shift" not in asked and _SOUND.search(asked):
        if affirmed:
            return whole
        return _CHANGED if "midline" in asked else _WRONG_SOMEHOW
    for state in (_CHANGED, _PRESENT):
        if _PATTERNS[state].search(asked):
            return state if affirmed else _SOUND_IN_PART
    if _WRONG.search(asked):
        return _WRONG_SOMEHOW if affirmed else whole
    return None


def _open_evidence(asked: str, answer: str) -> str | None:
    """Of an answer in words: what is asked about as a thing that is there counts, too ("Where is the mass?")."""
    if _NOTHING.match(answer) or answer in ("midline", "in the midline"):
        return _SOUND_IN_PART if _WRONG.search(asked) or any(p.search(asked) for p in _PATTERNS.values()) else None
    for text in (answer, asked):
        for state in (_CHANGED, _PRESENT):
            if _PATTERNS[state].search(text):
                return state
    return _WRONG_SOMEHOW if _WRONG.search(asked) else None
