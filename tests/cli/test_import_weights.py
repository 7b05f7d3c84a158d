from __future__ import annotations

import pytest
import torch

from medpipe.cli.main import invoke
from medpipe.networks.acm import ContextLocalizer
from medpipe.networks.weights import load_weights

NAME = "cxr_pneumothorax_acm"
OPTIONS = ["backbone=resnet14_quarter", "groups=32", "output_stride=32"]
THEIRS = {
    "se.key_map": "module.add_mod.map_gen.0",
    "se.query_map": "module.sub_mod.map_gen.0",
    "se.gate_reduce": "module.mul_mod.feature_gen.0",
    "se.gate_expand": "module.mul_mod.feature_gen.2",
    "head.": "classifier_conv.",
    "backbone.": "",
}


def network(classes: int) -> ContextLocalizer:
    return ContextLocalizer("resnet14_quarter", "acm", num_classes=classes)


def authors_name(name: str) -> str:
    for ours, theirs in THEIRS.items():
        name = name.replace(ours, theirs)
    return name


@pytest.fixture
def checkpoint(tmp_path):
    """A classifier of 14 findings in the authors' names, saved as their training code does, and the network itself."""
    torch.manual_seed(0)
    source = network(14).eval()
    state = {f"module.{authors_name(name)}": tensor for name, tensor in source.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "authors.pth")
    return tmp_path / "authors.pth", source


def test_one_finding_of_the_authors_classifier_becomes_our_localiser(checkpoint, tmp_path) -> None:
    path, source = checkpoint
    out = tmp_path / "model.pt"
    assert invoke(["import-weights", NAME, str(path), "-o", str(out), *OPTIONS, "--label", "7"]) == 0
    ours = load_weights(network(1), out)
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), source(images)[:, 7:8], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "head.weight (found (14, 256"),
        (["--label", "14"], "none of the 14 classes"),
        (["context=se"], "unexpected"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(checkpoint, tmp_path, capsys, more, message) -> None:
    arguments = ["import-weights", NAME, str(checkpoint[0]), "-o", str(tmp_path / "model.pt"), *OPTIONS, *more]
    assert invoke(arguments) == 2
    assert message.replace("256", "512") in capsys.readouterr().err
    assert not (tmp_path / "model.pt").exists()


def test_an_existing_file_is_not_overwritten(checkpoint, tmp_path) -> None:
    (tmp_path / "model.pt").write_text("mine")
    assert invoke(["import-weights", NAME, str(checkpoint[0]), "-o", str(tmp_path / "model.pt"), *OPTIONS]) == 2
    assert (tmp_path / "model.pt").read_text() == "mine"
