from collections import Counter, defaultdict

import numpy as np
from sklearn.linear_model import LogisticRegression

from medpipe.data.lookalikes.vqa_scenes import ORGANS, STATES, plan_scenes


def test_body_parts_and_states_are_drawn_equally_often() -> None:
    scenes = plan_scenes("x", cases=54, seed=0)
    assert set(Counter((scene.organ, scene.state) for scene in scenes).values()) == {6}
    assert Counter(scene.side for scene in scenes if scene.state == "mass") == {"left": 9, "right": 9}
    assert {scene.organ for scene in scenes} == set(ORGANS)


def test_no_question_gives_its_answer_away() -> None:
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for scene in plan_scenes("x", cases=108, seed=0):
        for question in scene.questions():
            answers[question.text][question.answer] += 1
    closed = {text: found for text, found in answers.items() if set(found) == {"yes", "no"}}
    assert len(closed) == 6
    assert all(found["yes"] == found["no"] for found in closed.values())
    opened = [found for text, found in answers.items() if text not in closed]
    assert len(opened) == 6
    assert all(max(found.values()) == min(found.values()) and len(found) >= 2 for found in opened)


def test_an_image_affirms_its_own_state_and_denies_another() -> None:
    for scene in plan_scenes("x", cases=27, seed=1):
        questions = scene.questions()
        assert sorted(question.answer for question in questions if question.closed) == ["no", "yes"]
        assert len(questions) == (5 if scene.state == "mass" else 4)


def test_the_pictures_answer_the_questions() -> None:
    scenes = plan_scenes("x", cases=360, seed=2)
    pixels = np.array([scene.draw(32).ravel() for scene in scenes])
    for word, values in (("organ", ORGANS), ("state", STATES)):
        labels = np.array([values.index(getattr(scene, word)) for scene in scenes])
        model = LogisticRegression(C=0.01, max_iter=300).fit(pixels[:270], labels[:270])
        assert model.score(pixels[270:], labels[270:]) > {"organ": 0.9, "state": 0.5}[word]


def test_a_picture_depends_on_its_seed_alone() -> None:
    first, second = (plan_scenes("x", cases=4, seed=0)[3].draw(64) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, plan_scenes("x", cases=4, seed=1)[3].draw(64))
