import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.data.vqa_text import (
    UNKNOWN,
    AnswerVocabulary,
    QuestionVocabulary,
    augmenting_table,
    normalize_answer,
    read_glove,
    tokenize,
)
from medpipe.errors import InputDataError

WORDS = st.lists(st.sampled_from(["is", "the", "left", "lung", "normal", "a"]), max_size=20).map(" ".join)


@pytest.mark.parametrize(
    ("question", "profile", "words"),
    [
        ("Is the patient's heart enlarged?", "vqa2", ["is", "the", "patient", "'s", "heart", "enlarged"]),
        ("Where, in the picture?", "vqa2", ["where", "in", "the", "picture"]),
        ("Who is it.", "vqa2", ["who", "is", "it."]),
        ("Who is it.", "v7w", ["who", "is", "it"]),
        ("Is this an X ray?", "rad", ["is", "this", "an", "x-ray"]),
        ("Is there a mass? -Yes/No", "rad", ["is", "there", "a", "mass"]),
        ("What is this? - Open", "rad", ["what", "is", "this"]),
        ("What is this? -Open", "rad", ["what", "is", "this"]),
        ("Is it 2.5 cm...", "rad", ["is", "it", "25", "cm"]),
        ("  ", "rad", []),
    ],
)
def test_questions_are_split_as_published(question: str, profile: str, words: list[str]) -> None:
    assert tokenize(question, profile) == words


def test_words_are_numbered_in_order_of_appearance_and_the_number_after_the_last_is_padding() -> None:
    released = QuestionVocabulary.of(["Is it big?", "is this it?"], unknown="last_word")
    assert released.words == ("is", "it", "big", "this")
    assert released.encode("Is this red?") == [0, 3, 3, *[4] * 9]
    own = QuestionVocabulary.of(["Is it big?", "is this it?"])
    assert (own.words[-1], own.padding) == (UNKNOWN, 5)
    assert own.encode("Is this red?") == [0, 3, 4, *[5] * 9]
    assert own.encode("") == [5] * 12


@given(st.lists(WORDS, min_size=1, max_size=6).filter(lambda questions: any(questions)), WORDS)
def test_every_question_becomes_twelve_numbers_of_the_table(questions: list[str], other: str) -> None:
    vocabulary = QuestionVocabulary.of(questions)
    for question in [*questions, other]:
        found = vocabulary.encode(question)
        assert len(found) == 12
        assert all(0 <= number <= vocabulary.padding for number in found)
        kept = [number for number in found if number != vocabulary.padding]
        assert kept == vocabulary.tokens(question)[:12]
        assert found[len(kept) :] == [vocabulary.padding] * (12 - len(kept))


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("A lesion", "lesion"),
        ("T2-weighted", "t2 weighted"),
        ("MRI - DWI", "mri dwi"),
        ("1,000", "1000"),
        ("3.5 cm", "3.5 cm"),
        ("dont know", "don't know"),
        ("none", "0"),
        ("x ray", "xray"),
        ("Chest X-ray", "chest xray"),
        ("5%", "5%"),
        ("Head & neck", "head & neck"),
        ("a", ""),
        ("Yes.", "yes"),
        ("couldntve", "couldntve"),
        ("couldnt've", "couldn't've"),
        ("somebody'd", "somebodyd"),
        ("Ten", "10"),
        ("right/left", "right left"),
        ("right/ left", "right left"),
        ("yes, 1,000", "yes 1000"),
    ],
)
def test_answers_are_normalised_as_the_official_evaluation_does(answer: str, normal: str) -> None:
    assert normalize_answer(answer) == normal


def test_only_the_medical_systems_join_x_ray() -> None:
    assert normalize_answer("X-ray", medical=False) == "x ray"


@given(st.text(alphabet="ab x-ray.,;1/ n'", max_size=20))
def test_normalising_leaves_no_blank_at_the_ends_and_none_twice(text: str) -> None:
    found = normalize_answer(text, medical=False)
    assert found == " ".join(found.split())


def test_candidates_are_numbered_in_order_and_rare_ones_left_out() -> None:
    answers = [["Yes"], ["no"], ["yes"], ["The lung"], ["no", "yes", "yes"]]
    assert AnswerVocabulary.of(answers).answers == ("yes", "no", "lung")
    frequent = AnswerVocabulary.of(answers, min_count=3)
    assert frequent.answers == ("yes",)
    assert frequent.target(["no"]) == {}
    with pytest.raises(ValueError, match="no answer stands 9 times"):
        AnswerVocabulary.of(answers, min_count=9)


def test_one_annotator_scores_1_and_of_ten_one_two_three_four_score_by_thirds() -> None:
    vocabulary = AnswerVocabulary(("a1", "b1", "c1", "d1"))
    assert vocabulary.target(["B1"]) == {1: 1.0}
    ten = ["a1", "b1", "b1", "c1", "c1", "c1", *["d1"] * 4]
    np.testing.assert_allclose(vocabulary.targets(ten), [0.3, 0.6, 0.9, 1.0])
    np.testing.assert_array_equal(vocabulary.targets(["elsewhere"]), [0, 0, 0, 0])


def test_vocabularies_are_read_as_written_and_other_files_are_refused(tmp_path: Path) -> None:
    questions, answers = QuestionVocabulary.of(["is it?"], length=14), AnswerVocabulary(("yes", "no"), medical=False)
    questions.save(tmp_path / "q.json")
    answers.save(tmp_path / "a.json")
    assert QuestionVocabulary.load(tmp_path / "q.json") == questions
    assert AnswerVocabulary.load(tmp_path / "a.json") == answers
    with pytest.raises(InputDataError, match=r"a\.json: not readable as a vocabulary with 'words'"):
        QuestionVocabulary.load(tmp_path / "a.json")
    (tmp_path / "c.json").write_text(json.dumps({"answers": ["yes", "yes"]}))
    with pytest.raises(InputDataError, match="must list different texts"):
        AnswerVocabulary.load(tmp_path / "c.json")


def glove(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_vectors_of_known_words_are_taken_from_the_official_text_file(tmp_path: Path) -> None:
    path = glove(tmp_path / "glove.txt", ["the 1 2 3", ". . .", "lung -0.5 0 1e-1", "naïve 7 8 9"])
    table = read_glove(path, ["lung", "synpic", "the"], 3)
    np.testing.assert_allclose(table, [[-0.5, 0, 0.1], [0, 0, 0], [1, 2, 3]])
    assert table.dtype == np.float32


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["the 1 2"], "line 1: 2 numbers after the word; expected 3"),
        (["of 1 2 3", "the 1 x 3"], "line 2: no numbers after the word"),
        (["the 1 nan 3"], "expected 3 finite ones"),
        (["of 1 2 3"], "hold none of the 1 words"),
    ],
)
def test_wrong_vectors_are_refused_with_file_and_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InputDataError, match=message):
        read_glove(glove(tmp_path / "glove.txt", lines), ["the"], 3)
    with pytest.raises(InputDataError, match="cannot be read"):
        read_glove(tmp_path / "none.txt", ["the"], 3)


def augmented_by_loops(questions: list[list[int]], table: np.ndarray) -> np.ndarray:
    """The same, entry by entry as the definition reads."""
    used = Counter(word for question in questions for word in question)
    matrix = np.zeros((len(table), len(table)))
    for question in questions:
        for first, second in combinations(question, 2):
            matrix[first, second] += 1 / used[second]
            matrix[second, first] += 1 / used[first]
    sums = matrix.sum(axis=1, keepdims=True)
    return (matrix / np.where(sums > 0, sums, 1)) @ table


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=5))
def test_augmented_vectors_are_means_over_the_words_that_stand_together(questions: list[list[int]]) -> None:
    table = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    np.testing.assert_allclose(augmenting_table(questions, table), augmented_by_loops(questions, table), atol=1e-5)


def test_the_slip_of_the_release_divides_the_entry_at_the_place_of_the_words_number() -> None:
    # Entries in order: (0,1) (1,0) (0,2) (2,0). Words 0, 1 and 2 are used 2, 1 and 1 times. The two entries of column 0 divide
    # entry 0 by 2 each; column 1 divides entry 1 by 1, column 2 entry 2 by 1. So entry 0, of row 0, weighs 1/4, the others 1.
    found = augmenting_table([[0, 1], [0, 2]], np.eye(3, dtype=np.float32), augment="as_released")
    np.testing.assert_allclose(found, [[0, 0.2, 0.8], [1, 0, 0], [1, 0, 0]], atol=1e-6)
    with pytest.raises(ValueError, match="intended or as_released, found 'x'"):
        augmenting_table([[0, 1]], np.eye(2, dtype=np.float32), augment="x")


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=8))
def test_the_release_is_a_loop_over_its_entries(questions: list[list[int]]) -> None:
    entries = [pair for tokens in questions for i, j in combinations(tokens, 2) for pair in ((i, j), (j, i))]
    used = Counter(word for tokens in questions for word in tokens)
    weights = [1.0] * len(entries)
    for _, column in entries:
        if column < len(entries):
            weights[column] /= used[column]
    expected = np.zeros((6, 6))
    for (row, column), weight in zip(entries, weights, strict=True):
        expected[row, column] += weight / sum(w for (r, _), w in zip(entries, weights, strict=True) if r == row)
    found = augmenting_table(questions, np.eye(6, dtype=np.float32), augment="as_released")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_augmented_vectors_of_a_hand_worked_corpus() -> None:
    # words 0 and 1 stand together twice, 0 and 2 once; word 1 is used 2 times, word 2 once, word 3 alone
    found = augmenting_table([[0, 1], [1, 0], [0, 2], [3]], np.eye(4, dtype=np.float32))
    np.testing.assert_allclose(found[0], [0, 0.5, 0.5, 0])  # 2/2 against 1/1
    np.testing.assert_allclose(found[1], [1, 0, 0, 0])
    np.testing.assert_allclose(found[3], [0, 0, 0, 0])


@pytest.mark.shared_data
def test_the_real_answers_are_among_the_published_candidates(shared_data: Path) -> None:
    folder = shared_data / "vqa" / "vqa_rad"
    rows = json.loads((folder / "trainset.json").read_text())
    published = json.loads((folder / "answer_all_list.json").read_text())
    found = AnswerVocabulary.of([[str(row["answer"])] for row in rows]).answers
    assert len(published) == 458
    assert set(found) <= set(published)
    questions = QuestionVocabulary.of(row["question"] for row in rows)
    assert sum(len(questions.tokens(row["question"])) > 12 for row in rows) == 30


@pytest.mark.shared_data
def test_normalising_a_normal_answer_of_slake_changes_nothing(shared_data: Path) -> None:
    rows = json.loads((shared_data / "vqa/slake/Slake1.0/train.json").read_text())
    answers = {normalize_answer(row["answer"]) for row in rows if row["q_lang"] == "en"}
    assert len(answers) > 100
    assert [answer for answer in answers if normalize_answer(answer) != answer] == []
