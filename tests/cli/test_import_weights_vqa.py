"""A whole model of MEVF's authors, in their layout, into weights that answer questions."""

from __future__ import annotations

import csv
import pickle
import re

import numpy as np
import pytest
import torch
from PIL import Image

from medpipe.cli.main import invoke
from medpipe.networks.mevf import MEVF
from medpipe.networks.weights import load_weights

NAME = "radiology_vqa_mevf"
OPTIONS = ["hidden=8", "dimensions=5"]
WORDS, ANSWERS = ["is", "there", "mass", "where"], ["yes", "no", "left"]
LAYERS = ["down1", "down2", "code", "up1", "smooth", "up2", "image"]
THEIR_LAYERS = ["conv1", "conv2", "conv3", "tran_conv1", "conv4", "tran_conv2", "conv5"]
STACKED = {"queries.0": "fc11", "keys.0": "fc12", "scores.0": "fc13"}
STACKED |= {"queries.1": "layers.0", "keys.1": "layers.1", "scores.1": "layers.2"}
RULES = [
    (r"embedding\.words\.", "w_emb.emb."),
    (r"embedding\.augmenting\.", "w_emb.emb_."),
    (r"question\.rnn\.", "q_emb.rnn."),
    (r"visual\.convert\.", "convert."),
    (r"visual\.meta\.convolutions\.(\d)\.", lambda match: f"maml_v_emb.conv{int(match[1]) + 1}."),
    (r"visual\.meta\.norms\.(\d)\.", lambda match: f"maml_v_emb.bn{int(match[1]) + 1}."),
    (r"visual\.autoencoder\.(\w+)\.", lambda match: f"ae_v_emb.{THEIR_LAYERS[LAYERS.index(match[1])]}."),
    (r"classifier\.widen\.", "classifier.main.0."),
    (r"classifier\.answers\.", "classifier.main.3."),
    (r"fusion\.((?:queries|keys|scores)\.\d)\.", lambda match: f"v_att.{STACKED[match[1]]}."),
    (r"fusion\.attention\.parametrizations\.maps\.original0", "v_att.logits.h_mat_g"),
    (r"fusion\.attention\.parametrizations\.maps\.original1", "v_att.logits.h_mat_v"),
    (r"fusion\.attention\.bias", "v_att.logits.h_bias"),
    (r"fusion\.attention\.regions\.linear\.", "v_att.logits.v_net.main.1."),
    (r"fusion\.attention\.words\.linear\.", "v_att.logits.q_net.main.1."),
    (r"fusion\.pooling\.(\d)\.regions\.linear\.", r"b_net.\1.v_net.main.1."),
    (r"fusion\.pooling\.(\d)\.words\.linear\.", r"b_net.\1.q_net.main.1."),
    (r"fusion\.projections\.(\d)\.linear\.", r"q_prj.\1.main.1."),
    (r"parametrizations\.weight\.original0", "weight_g"),
    (r"parametrizations\.weight\.original1", "weight_v"),
]


def authors_name(name: str) -> str:
    for pattern, theirs in RULES:
        name = re.sub(pattern, theirs, name)
    return name


@pytest.fixture(params=["ban", "san"])
def published(request, tmp_path):
    """Their three files, a network of ours with the same weights, and its kind of attention."""
    torch.manual_seed(0)
    source = MEVF(len(WORDS), len(ANSWERS), attention=request.param, hidden=8, dimensions=5).eval()
    state = {authors_name(name): tensor for name, tensor in source.state_dict().items()}
    assert not [name for name in state if name.startswith(("fusion", "visual", "classifier.w"))]
    torch.save(
        {"epoch": 19, "model_state": state, "optimizer_state": {"param_groups": [{"lr": 0.1}]}}, tmp_path / "a.pth"
    )
    words = [{word: number for number, word in enumerate(WORDS)}, WORDS]
    (tmp_path / "dictionary.pkl").write_bytes(pickle.dumps(words, 2))
    answers = {answer: number for number, answer in enumerate(ANSWERS)}
    (tmp_path / "trainval_ans2label.pkl").write_bytes(pickle.dumps(answers, 2))
    return tmp_path, source, request.param


def run(folder, attention, *more: str, vocabularies: bool = True) -> int:
    files = ["--dictionary", str(folder / "dictionary.pkl"), "--answers", str(folder / "trainval_ans2label.pkl")]
    arguments = ["import-weights", NAME, str(folder / "a.pth"), "-o", str(folder / "out" / "model.pt"), *OPTIONS]
    return invoke([*arguments, f"attention={attention}", *(files if vocabularies else []), *more])


def test_the_authors_model_answers_as_ours_with_its_weights_and_takes_unknown_words_for_the_last(published) -> None:
    folder, source, attention = published
    (folder / "out").mkdir()
    assert run(folder, attention) == 0
    again = load_weights(MEVF(4, 3, attention=attention, hidden=8, dimensions=5), folder / "out" / "model.pt")
    inputs = torch.tensor([[0, 1, 2, *[4] * 9]]), torch.rand(1, 1, 84, 84), torch.rand(1, 1, 128, 128)
    with torch.no_grad():
        assert torch.equal(again(*inputs), source(*inputs))
    picture = np.arange(4096, dtype=np.uint32).reshape(64, 64).astype(np.uint8)
    Image.fromarray(picture).save(folder / "x.png")
    asked = ["--question", "Is there mass?", "--question", "is there fluid", "--question", "is there where"]
    options = [*OPTIONS, f"attention={attention}", f"weights={folder / 'out' / 'model.pt'}"]
    assert invoke(["infer", NAME, str(folder / "x.png"), *asked, *options, "-o", str(folder / "run")]) == 0
    with (folder / "run" / "answers.csv").open(newline="") as stream:
        first, unknown, last = csv.DictReader(stream)
    assert {first["answer"], last["answer"]} <= set(ANSWERS)
    assert unknown["probability"] == last["probability"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--label", "1"], "leave --label out"),
        (["encoders=maml"], "unexpected"),
        (["hidden=16"], "of another shape"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(published, capsys, more, message) -> None:
    folder, _, attention = published
    (folder / "out").mkdir()
    assert run(folder, attention, *more) == 2
    assert message in capsys.readouterr().err
    assert not list((folder / "out").iterdir())


def test_vocabularies_are_asked_for_and_never_overwritten(published, capsys) -> None:
    folder, _, attention = published
    (folder / "out").mkdir()
    assert run(folder, attention, vocabularies=False) == 2
    assert "give --dictionary dictionary.pkl" in capsys.readouterr().err
    (folder / "out" / "answers.json").write_text("mine")
    assert run(folder, attention) == 2
    assert "answers.json' exists" in capsys.readouterr().err
    assert (folder / "out" / "answers.json").read_text() == "mine"


def test_a_network_that_takes_no_question_needs_no_dictionary(tmp_path, capsys) -> None:
    arguments = ["import-weights", "cxr14_acm", str(tmp_path / "a.pth"), "-o", str(tmp_path / "model.pt")]
    assert invoke([*arguments, "--dictionary", str(tmp_path / "d.pkl")]) == 2
    assert "answers no questions; leave it out" in capsys.readouterr().err
