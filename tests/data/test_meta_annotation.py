"""Classes guessed from questions: by hand-made questions, on the look-alike whose classes are known, on the real set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from medpipe.data import vqa_rad
from medpipe.data.lookalikes.vqa_rad import write_vqa_rad_lookalike
from medpipe.data.meta_annotation import annotate_datalist, evidence, state_of
from medpipe.data.meta_manifest import meta_images, picture_paths
from medpipe.data.vqa_datalist import write_vqa_datalist
from medpipe.errors import InputDataError


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("Is the heart enlarged?", "Yes", "abnormal_organ"),
        ("Is the heart enlarged?", "No", "sound in part"),
        ("Is there a pleural effusion?", "yes", "abnormal_present"),
        ("Is there free air?", "no", "sound in part"),
        ("Are the airways visible?", "yes", None),  # "air" is a word of its own
        ("Where is the mass?", "left kidney", "abnormal_present"),
        ("What is wrong with the ventricles?", "hydrocephalus", "abnormal_organ"),
        ("What is abnormal?", "nothing", "sound in part"),
        ("What lesions are present?", "none", "sound in part"),
        ("Is this image normal?", "yes", "sound"),
        ("Is this image normal?", "no", "wrong"),
        ("Is this an abnormal film?", "no", "sound"),
        ("Are the kidneys normal?", "yes", "sound in part"),
        ("Is the trachea midline?", "no", "abnormal_organ"),
        ("Is the trachea midline?", "midline", None),
        ("Is there midline shift?", "yes", "abnormal_organ"),
        ("Is there midline shift?", "no", "sound in part"),
        ("Is this an axial image?", "yes", None),
        ("What type of image is this?", "MRI", None),
    ],
)
def test_what_a_question_and_its_answer_say(question, answer, expected) -> None:
    assert evidence(question, [answer]) == expected


def entries(*pairs: tuple[str, str]) -> list[dict]:
    return [{"question": question, "answers": [answer]} for question, answer in pairs]


@pytest.mark.parametrize(
    ("pairs", "state", "reason"),
    [
        ([("Is this image normal?", "yes"), ("Is there a mass?", "no")], "normal", "1 answers such as 'Is this image"),
        ([("Is there a mass?", "no"), ("Is the heart enlarged?", "no")], "normal", "2 answers"),
        (
            [("Is there a mass?", "yes"), ("Is the heart enlarged?", "no")],
            "abnormal_present",
            "'Is there a mass?' 'yes'",
        ),
        ([("Is there a mass?", "yes"), ("Are the kidneys normal?", "yes")], "abnormal_present", "1 answers"),
        (
            [("Is there a mass?", "yes"), ("Where is the mass?", "left"), ("Is the heart enlarged?", "yes")],
            "abnormal_present",
            "2 answers",
        ),
        ([("Is there a mass?", "yes"), ("Is the heart enlarged?", "yes")], None, "as many questions speak of"),
        (
            [("Is this image normal?", "yes"), ("Is there a mass?", "yes")],
            None,
            "contradictory: called normal, and yet",
        ),
        ([("Is this image normal?", "no"), ("Is there a mass?", "no")], None, "abnormal, but not said how"),
        ([("Is this a CT?", "yes")], None, "no question says whether it is normal"),
    ],
)
def test_questions_together_give_a_state_or_the_reason_why_not(pairs, state, reason) -> None:
    found, why = state_of(entries(*pairs))
    assert found == state
    assert reason in why


@pytest.fixture(scope="module")
def look_alike(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("meta") / "rad"
    write_vqa_rad_lookalike(root, cases=27, seed=2, size=64)
    write_vqa_datalist(vqa_rad.prepare(root, split="published"), root / "datalist.json")
    return root


def test_the_classes_of_the_look_alike_are_found_from_its_training_questions_alone(look_alike) -> None:
    found = annotate_datalist(look_alike / "datalist.json", look_alike, picture_paths(look_alike / "unlabeled"))
    expected = meta_images(look_alike)
    names = lambda manifest: {  # noqa: E731
        label: {Path(path).name for path in paths} for label, paths in manifest.by_class().items()
    }
    assert names(found) == names(expected)  # meta/train holds training images alone
    assert [Path(path).name for path in found.unlabelled()] == [Path(path).name for path in expected.unlabelled()]


def test_images_of_other_sections_stay_out_of_the_images_without_a_class(look_alike) -> None:
    datalist = vqa_rad.prepare(look_alike, split="published")
    parts = {part: {entry["image"] for entry in datalist[part]} for part in ("training", "test")}
    assert parts["test"] - parts["training"]
    found = annotate_datalist(look_alike / "datalist.json", look_alike, picture_paths(look_alike / "images"))
    assert {image.image for image in found.images} == parts["training"]
    assert found.source.endswith(f"noisy; without {len(parts['test'])} images of its validation and test")


def test_an_image_that_is_given_twice_stands_once(look_alike) -> None:
    images = picture_paths(look_alike / "unlabeled")
    once = annotate_datalist(look_alike / "datalist.json", look_alike, images)
    assert annotate_datalist(look_alike / "datalist.json", look_alike, [*images, *images]) == once


def test_an_image_without_an_organ_has_no_class_and_a_set_without_any_is_refused(look_alike, tmp_path) -> None:
    datalist = vqa_rad.prepare(look_alike, split="published")
    image = datalist["training"][0]["image"]
    for entry in datalist["training"]:
        if entry["image"] == image:
            del entry["organ"]
    write_vqa_datalist(datalist, tmp_path / "some.json")
    found = {item.image: item for item in annotate_datalist(tmp_path / "some.json", look_alike).images}
    assert (found[image].label, found[image].reason) == (None, "body part unknown: not said")
    for entry in datalist["training"]:
        entry.pop("organ", None)
    write_vqa_datalist(datalist, tmp_path / "none.json")
    with pytest.raises(InputDataError, match=r"names the organ of no image.*PathVQA.*train/<class>/"):
        annotate_datalist(tmp_path / "none.json", look_alike)


def test_images_elsewhere_are_refused(look_alike, tmp_path) -> None:
    with pytest.raises(InputDataError, match="must lie below"):
        annotate_datalist(look_alike / "datalist.json", look_alike, [tmp_path / "a.jpg"])


@pytest.mark.shared_data
def test_the_real_set_has_images_of_all_nine_classes(shared_data, tmp_path) -> None:
    root = shared_data / "vqa" / "vqa_rad"
    write_vqa_datalist(vqa_rad.prepare(root, split="published"), tmp_path / "list.json")
    found = annotate_datalist(tmp_path / "list.json", root)
    assert len(found.counts()) == 9
    states = Counter(dict.fromkeys(("normal", "present", "organ"), 0))
    for name, count in found.counts().items():
        states[name.rpartition("_")[2]] += count
    assert states["present"] > states["normal"] > 0
    assert all(image.reason for image in found.images)
