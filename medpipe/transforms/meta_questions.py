"""Questions for networks whose small image may be in colour, as MMQ's for PathVQA is."""

from __future__ import annotations

from collections.abc import Sequence

from monai.transforms import Compose, SelectItemsd

from medpipe.data.vqa_text import AnswerVocabulary, QuestionVocabulary
from medpipe.transforms.question_answering import question_case_preprocessing, question_training
from medpipe.transforms.vqa import StretchedImagesd, vqa_preprocessing

__all__ = ["meta_question_case", "meta_question_training"]

_SMALL = "small"


def meta_question_training(
    questions: QuestionVocabulary,
    answers: AnswerVocabulary,
    *,
    small_side: int = 84,
    large_side: int = 128,
    images: Sequence[str] = (_SMALL,),
    colours: int = 1,
) -> Compose:
    """As ``question_training``, with the small image in 1 or 3 colours.

    Raises:
        ValueError: As ``question_training``.
    """
    grey = question_training(questions, answers, small_side=small_side, large_side=large_side, images=images)
    if colours == 1:
        return grey
    sides = {name: side for name, side in ((_SMALL, small_side), ("large", large_side)) if name in images}
    steps = vqa_preprocessing(questions, answers, sides=sides, colours={_SMALL: colours})
    return Compose([steps, SelectItemsd(keys=["tokens", *sides, "target"])])


def meta_question_case(
    questions: QuestionVocabulary,
    *,
    small_side: int = 84,
    large_side: int = 128,
    images: Sequence[str] = (_SMALL,),
    colours: int = 1,
    picture_size: int = 512,
) -> Compose:
    """As ``question_case_preprocessing``, with the small image in 1 or 3 colours; the picture for people is grey.

    Raises:
        ValueError: As ``question_case_preprocessing``.
    """
    grey = question_case_preprocessing(
        questions, small_side=small_side, large_side=large_side, images=images, picture_size=picture_size
    )
    return grey if colours == 1 else Compose([grey, StretchedImagesd({_SMALL: small_side}, {_SMALL: colours})])
