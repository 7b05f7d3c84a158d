"""Questions, candidates and images as tensors, and episodes of real files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medpipe.data.lookalikes.vqa_rad import write_vqa_rad_lookalike
from medpipe.data.meta_manifest import images_by_class
from medpipe.data.vqa_datalist import vqa_entries, write_vqa_datalist
from medpipe.data.vqa_rad import prepare
from medpipe.data.vqa_text import AnswerVocabulary, QuestionVocabulary
from medpipe.engines.steps.meta_learning import episodes_of
from medpipe.engines.vqa_batches import vqa_batch
from medpipe.errors import InputDataError
from medpipe.networks.mevf import MEVF
from medpipe.transforms.vqa import EpisodeBatches, check_pictures, stretched, vqa_preprocessing


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rad") / "set"
    write_vqa_rad_lookalike(out, cases=27, seed=0, size=64)
    write_vqa_datalist(prepare(out, split="published"), out / "list.json")
    return out


def test_a_colour_picture_becomes_grey_and_square_in_0_to_1(tmp_path: Path) -> None:
    values = np.zeros((20, 40, 3), np.uint8)
    values[:, 20:] = 255
    Image.fromarray(values).save(tmp_path / "x.png")
    found = stretched(tmp_path / "x.png", 10)
    assert found.shape == (1, 10, 10)
    assert torch.allclose(found[0, :, :4], torch.zeros(10, 4), atol=1e-6)
    assert torch.allclose(found[0, :, 6:], torch.ones(10, 4), atol=1e-6)


def test_an_entry_of_a_datalist_becomes_what_the_network_takes(root: Path) -> None:
    entries = vqa_entries(root / "list.json", root, "training")
    questions = QuestionVocabulary.of(entry["question"] for entry in entries)
    answers = AnswerVocabulary.of(entry["answers"] for entry in entries)
    questions.save(root / "questions.json")
    answers.save(root / "answers.json")
    transform = vqa_preprocessing(root / "questions.json", root / "answers.json")
    items = [transform(entry) for entry in entries[:3]]
    assert items[0]["question"] == entries[0]["question"]
    assert items[0]["target"].sum() == 1
    keys = ("tokens", "small", "large", "target")
    inputs, target = vqa_batch({key: torch.stack([item[key] for item in items]) for key in keys})
    net = MEVF(len(questions.words), len(answers.answers), hidden=8, dimensions=4).eval()
    assert net(*inputs).shape == target.shape == (3, len(answers.answers))


def test_without_candidates_there_is_no_target_and_sizes_are_a_choice(root: Path) -> None:
    entry = vqa_entries(root / "list.json", root, "test")[0]
    found = vqa_preprocessing(QuestionVocabulary.of(["is it?"]), sides={"small": 48})(entry)
    assert "target" not in found
    assert "large" not in found
    assert found["small"].shape == (1, 48, 48)


def test_episodes_of_files_are_batches_that_the_step_takes(root: Path) -> None:
    images = images_by_class(root / "meta/train")
    batches = EpisodeBatches(images, batches=2, episodes=2, support=1, query=1, side=32)
    loader = torch.utils.data.DataLoader(batches, batch_size=None)
    torch.manual_seed(0)
    found = list(loader)
    assert len(found) == 2
    assert found[0]["support"].shape == (2, 3, 1, 32, 32)
    assert sorted(found[0]["query_label"][0].tolist()) == [0, 1, 2]
    assert len(list(episodes_of(found[0]))) == 2
    torch.manual_seed(0)
    assert torch.equal(list(loader)[1]["query"], found[1]["query"])
    assert not torch.equal(list(loader)[1]["query"], found[1]["query"])


def test_episodes_that_cannot_be_drawn_are_refused_at_once(root: Path) -> None:
    with pytest.raises(ValueError, match="9 ways and other"):
        EpisodeBatches(images_by_class(root / "meta/train"), batches=1, ways=9, other=True)
    for numbers in ({"batches": 0}, {"batches": 1, "episodes": 0}):
        with pytest.raises(ValueError, match="an epoch needs a batch, and a batch an episode"):
            EpisodeBatches(images_by_class(root / "meta/train"), **numbers)


def test_three_colours_are_normalised_as_photographs_are(tmp_path: Path) -> None:
    values = np.zeros((20, 20, 3), np.uint8)
    values[:, :, 0] = 255
    Image.fromarray(values).save(tmp_path / "x.png")
    found = stretched(tmp_path / "x.png", 10, 3)
    assert found.shape == (3, 10, 10)
    expected = torch.tensor([(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    torch.testing.assert_close(found, expected[:, None, None].expand(3, 10, 10))
    with pytest.raises(ValueError, match="colours must be 1 or 3, found 2"):
        stretched(tmp_path / "x.png", 10, 2)


def test_the_colours_of_an_entry_and_of_episodes_are_a_choice(root: Path) -> None:
    entry = vqa_entries(root / "list.json", root, "test")[0]
    sides = {"small": 32, "large": 16}
    found = vqa_preprocessing(QuestionVocabulary.of(["is it?"]), sides=sides, colours={"small": 3})(entry)
    assert (found["small"].shape, found["large"].shape) == ((3, 32, 32), (1, 16, 16))
    batches = EpisodeBatches(images_by_class(root / "meta/train"), batches=1, episodes=1, side=32, colours=3)
    assert batches[0]["query"].shape == (1, 9, 3, 32, 32)


def test_pictures_that_cannot_be_read_are_named_before_long_work(root: Path, tmp_path: Path) -> None:
    sound = [str(path) for path in sorted((root / "unlabeled").iterdir())[:2]]
    check_pictures(sound, 16)
    (tmp_path / "cut.jpg").write_bytes(Path(sound[0]).read_bytes()[:50])
    with pytest.raises(
        InputDataError, match=r"1 pictures cannot be read: .*cut\.jpg \(damaged picture.*leave them out"
    ):
        check_pictures([*sound, str(tmp_path / "cut.jpg")], 16)
