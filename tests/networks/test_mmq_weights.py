"""Weights in the names of MMQ's authors: networks of a round, and whole models by way of those of MEVF."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medpipe.errors import RequestError
from medpipe.networks.authors_weights import import_authors_state_dict
from medpipe.networks.mmq import MMQ, MetaLearner, PatchEncoder
from medpipe.networks.mmq_start import start_mmq
from medpipe.networks.mmq_weights import encoder_state_dict, import_mmq_state_dict


def small(**options: Any) -> MMQ:
    torch.manual_seed(0)
    return MMQ(9, 4, **{"hidden": 8, "dimensions": 5, "models": 2, **options})


def authors(seed: int, *, channels: int = 64, classes: int = 4) -> dict[str, Tensor]:
    """One of the authors' networks for VQA-RAD: one list of parameters, one of what was counted."""
    generator = torch.Generator().manual_seed(seed)
    shapes: list[tuple[int, ...]] = []
    for before, size in ((1, 3), (channels, 3), (channels, 3), (channels, 2)):
        shapes += [(channels, before, size, size), (channels,), (channels,), (channels,)]
    shapes += [(classes, channels * 64), (classes,)]
    state = {f"net.vars.{n}": torch.rand(shape, generator=generator) - 0.3 for n, shape in enumerate(shapes)}
    return state | {f"net.vars_bn.{n}": torch.rand(channels, generator=generator) for n in range(8)}


def test_an_encoder_of_the_authors_gives_what_its_list_of_parameters_says() -> None:
    state = authors(1)
    net = PatchEncoder(norms="batch")
    net.load_state_dict(encoder_state_dict(state))
    images = torch.rand(3, 1, 84, 84, generator=torch.Generator().manual_seed(2))
    found = images
    for block in range(4):
        weight, bias, scale, shift = (state[f"net.vars.{4 * block + n}"] for n in range(4))
        found = F.relu(F.conv2d(found, weight, bias, stride=1 if block == 3 else 2))
        found = F.batch_norm(found, None, None, scale, shift, training=True)
    torch.testing.assert_close(net(images), found.flatten(2).mean(dim=2))


def test_training_starts_from_a_list_of_files_of_rounds_ours_or_the_authors(tmp_path) -> None:
    torch.manual_seed(1)
    ours = MetaLearner()
    torch.save(ours.state_dict(), tmp_path / "ours.pt")
    torch.save(authors(3), tmp_path / "t2.pth")
    net = start_mmq(small(), meta=[tmp_path / "ours.pt", tmp_path / "t2.pth"])
    assert torch.equal(net.visual.meta[0].norms[1].weight, ours.encoder.norms[1].weight)
    assert torch.equal(net.visual.meta[1].convolutions[3].weight, authors(3)["net.vars.12"])
    assert net.visual.meta[1].norms[0].running_mean.unique().tolist() == [0]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": torch.zeros(1)}, "holds no meta-learned network"),
        ({}, "holds no meta-learned network"),
        ({**authors(1), "net.vars.18": torch.zeros(1)}, "holds no meta-learned network"),
        (authors(1, channels=8), "of another shape.*give the profile="),
    ],
)
def test_other_files_of_a_list_are_refused(tmp_path, state, message) -> None:
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(RequestError, match=message):
        start_mmq(small(models=1), meta=[tmp_path / "x.pt"])


def test_a_list_has_a_file_for_each_encoder(tmp_path) -> None:
    torch.save(authors(1), tmp_path / "x.pt")
    with pytest.raises(RequestError, match="holds 1 encoders, and the network has 2; give models=1"):
        start_mmq(small(), meta=[tmp_path / "x.pt"])
    with pytest.raises(RequestError, match=r"gone\.pt"):
        start_mmq(small(models=1), meta=["gone.pt"])


def whole(net: MMQ, *, single: bool) -> dict[str, Tensor]:
    """Our network's SAN in the authors' names; encoders are the authors' own."""
    names = {
        "embedding.words.": "w_emb.emb.",
        "embedding.augmenting.": "w_emb.emb_.",
        "question.rnn.": "q_emb.rnn.",
        "fusion.queries.0.": "v_att.fc11.",
        "fusion.keys.0.": "v_att.fc12.",
        "fusion.scores.0.": "v_att.fc13.",
        "fusion.queries.1.": "v_att.layers.0.",
        "fusion.keys.1.": "v_att.layers.1.",
        "fusion.scores.1.": "v_att.layers.2.",
        "classifier.widen.": "classifier.main.0.",
        "classifier.answers.": "classifier.main.3.",
    }
    weights = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    found: dict[str, Tensor] = {}
    for name, value in net.state_dict().items():
        for stem, theirs in names.items():
            if name.startswith(stem):
                last = name.removeprefix(stem)
                found[theirs + weights.get(last, last)] = value
    for place in range(len(net.visual.meta)):
        prefix = "maml_v_emb." if single else f"maml_v_emb.{place}."
        found |= {prefix + name: value for name, value in authors(place).items()}
    return found


@pytest.mark.parametrize("norms", ["running", "batch"])
@pytest.mark.parametrize("models", [1, 2])
def test_a_whole_model_is_taken_with_its_encoders(norms, models) -> None:
    net = small(attention="san", norms=norms, models=models)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.uniform_(-0.5, 0.5)
    reference = whole(net, single=models == 1)
    taken = small(attention="san", norms=norms, models=models)
    taken.load_state_dict(import_authors_state_dict(reference, taken))
    expected = authors(models - 1)
    last = taken.visual.meta[models - 1]
    assert torch.equal(last.convolutions[2].bias, expected["net.vars.9"])
    assert torch.equal(last.norms[3].bias, expected["net.vars.15"])
    if norms == "running":
        assert torch.equal(last.norms[3].running_var, expected["net.vars_bn.7"])
    same = [name for name in net.state_dict() if not name.startswith("visual.")]
    assert all(torch.equal(taken.state_dict()[name], net.state_dict()[name]) for name in same)


def test_a_whole_model_of_other_encoders_is_refused() -> None:
    net = small(attention="san")
    with pytest.raises(ValueError, match=r"maml_v_emb\.0\.net\.vars\.30|unexpected"):
        import_mmq_state_dict({**whole(net, single=False), "maml_v_emb.0.net.vars.30": torch.zeros(1)}, net)
    with pytest.raises(ValueError, match="missing"):
        import_mmq_state_dict(whole(small(attention="san", models=1), single=False), net)
