from collections import Counter

import numpy as np
import pytest

from medpipe.data.lookalikes.plan import CasePlan, generated_uid, plan_cases, run_plans
from medpipe.errors import RequestError


def plans(cases: int = 100, seed: int = 1, name: str = "toy") -> list[CasePlan]:
    return plan_cases(name, cases=cases, seed=seed, size=64, encodings=["a", "b", "c", "d"])


def test_findings_come_in_their_shares() -> None:
    assert Counter(plan.finding for plan in plans()) == {
        "pneumothorax": 38,
        "pneumothorax_with_tube": 31,
        "tube": 16,
        "none": 15,
    }


def test_encodings_come_in_turn_and_do_not_follow_the_findings() -> None:
    assert set(Counter(plan.encoding for plan in plans()).values()) == {25}
    table = Counter((plan.finding, plan.encoding) for plan in plans(cases=2000))
    positives = [table["pneumothorax", name] for name in "abcd"]
    assert max(positives) - min(positives) < 60


def test_some_patients_have_several_images_that_agree_on_the_patient() -> None:
    people: dict[str, set[tuple[str, int]]] = {}
    images = Counter[str]()
    for plan in plans():
        images[plan.header.patient_id] += 1
        people.setdefault(plan.header.patient_id, set()).add((plan.header.sex, plan.header.age))
    assert set(images.values()) == {1, 2, 3}
    assert all(len(each) == 1 for each in people.values())


def test_every_case_has_uids_and_randomness_of_its_own() -> None:
    made = [*plans(), *plans(seed=2), *plans(name="other")]
    for uid in ("study_uid", "series_uid", "instance_uid"):
        assert len({getattr(plan.header, uid) for plan in made}) == len(made)
    assert len({np.random.default_rng(plan.seed).integers(2**60) for plan in made}) == len(made)


def test_equal_seeds_give_equal_plans() -> None:
    first, second = plans(), plans()
    assert [(plan.header, plan.finding, plan.encoding) for plan in first] == [
        (plan.header, plan.finding, plan.encoding) for plan in second
    ]
    np.testing.assert_array_equal(first[3].draw().image, second[3].draw().image)


def test_a_second_plan_can_have_other_patients() -> None:
    more = plan_cases("toy", cases=3, seed=1, size=64, encodings=["a"], first_patient=100)
    assert {plan.header.patient_id for plan in more} == {"GEN00100", "GEN00101", "GEN00102"}


def test_uids_are_of_the_uuid_root_and_of_legal_length() -> None:
    for text in map(str, range(50)):
        uid = generated_uid(text)
        assert uid.startswith("2.25.")
        assert len(uid) <= 64
        assert uid == generated_uid(text)


@pytest.mark.parametrize("wrong", [{"cases": 0}, {"seed": -1}, {"size": 63}, {"size": 4097}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(RequestError, match=str(next(iter(wrong.values())))):
        plan_cases("toy", encodings=["a"], **({"cases": 1, "seed": 0, "size": 64} | wrong))


def test_results_come_in_order_and_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    results = run_plans(lambda plan: plan.index, plans(5), workers=1, progress=lambda *each: told.append(each))
    assert results == [0, 1, 2, 3, 4]
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_no_worker_at_all_is_refused() -> None:
    with pytest.raises(RequestError, match="0 workers"):
        run_plans(lambda plan: plan.index, plans(1), workers=0, progress=None)
