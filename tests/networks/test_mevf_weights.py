"""Weights of MEVF's authors: names, layouts, and that the layers mean the same."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medpipe.data.plain_pickles import read_plain_pickle
from medpipe.networks.mevf import MEVF, DenoisingAutoencoder, MetaEncoder
from medpipe.networks.mevf_weights import import_cdae_state_dict, import_maml_weights, import_mevf_state_dict


def meta_arrays(channels: int = 64) -> dict[str, np.ndarray]:
    """As ``pretrained_maml.weights`` holds them: (height, width, in, out) and biases."""
    rng = np.random.default_rng(0)
    arrays = {}
    for layer in range(1, 5):
        arrays[f"conv{layer}"] = rng.normal(size=(3, 3, 1 if layer == 1 else channels, channels)).astype(np.float32)
        arrays[f"b{layer}"] = rng.normal(size=channels).astype(np.float32)
    return arrays


def test_meta_learned_kernels_are_turned_and_normalisations_start_afresh(tmp_path: Path) -> None:
    arrays = meta_arrays()
    (tmp_path / "pretrained_maml.weights").write_bytes(pickle.dumps(arrays, 2))
    net = MetaEncoder()
    nn.init.uniform_(net.norms[0].weight)
    net.load_state_dict(import_maml_weights(read_plain_pickle(tmp_path / "pretrained_maml.weights"), net))
    kernel = arrays["conv2"]
    assert net.convolutions[1].weight[5, 7, 0, 2].item() == pytest.approx(kernel[0, 2, 7, 5])
    assert torch.equal(net.convolutions[3].bias, torch.tensor(arrays["b4"]))
    assert torch.equal(net.norms[0].weight, torch.ones(64))
    assert torch.equal(net.norms[3].running_var, torch.ones(64))
    assert not net.norms[2].running_mean.any()


def test_a_turned_kernel_correlates_as_in_tensorflow() -> None:
    arrays, net = meta_arrays(), MetaEncoder()
    net.load_state_dict(import_maml_weights(arrays, net))
    image = np.random.default_rng(1).normal(size=(84, 84)).astype(np.float32)
    padded = np.pad(image, 1)
    found = net.convolutions[0](torch.tensor(image)[None, None])[0, 9, 5, 8].item()
    expected = (padded[10:13, 16:19] * arrays["conv1"][:, :, 0, 9]).sum() + arrays["b1"][9]
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv3": None}, "1 missing: convolutions.2.weight"),
        ({"conv9": np.zeros(3)}, "hold conv9; expected conv1"),
        ({"conv2": np.zeros((3, 3, 64, 32), np.float32)}, r"convolutions.1.weight \(found \(32, 64, 3, 3\)"),
        ({"w5": np.zeros(3)}, None),
    ],
)
def test_meta_learned_weights_that_do_not_fit_are_named(change: dict, message: str | None) -> None:
    arrays = {name: array for name, array in (meta_arrays() | change).items() if array is not None}
    if message is None:
        assert len(import_maml_weights(arrays, MetaEncoder())) == len(MetaEncoder().state_dict())
        return
    with pytest.raises(ValueError, match=message):
        import_maml_weights(arrays, MetaEncoder())


class ReferenceAutoencoder(nn.Module):
    """The layers that the specification lists, under the names of the published file."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 3, padding=1)
        self.conv2 = nn.Conv2d(64, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 16, 3, padding=1)
        self.tran_conv1 = nn.ConvTranspose2d(16, 32, 3, stride=2, padding=1, output_padding=1)
        self.conv4 = nn.Conv2d(32, 32, 3, padding=1)
        self.tran_conv2 = nn.ConvTranspose2d(32, 64, 3, stride=2, padding=1, output_padding=1)
        self.conv5 = nn.Conv2d(64, 1, 3, padding=1)


def test_the_auto_encoder_takes_the_published_names() -> None:
    torch.manual_seed(0)
    reference, net = ReferenceAutoencoder(), DenoisingAutoencoder()
    net.load_state_dict(import_cdae_state_dict(reference.state_dict(), net))
    reference, net, x = reference.double(), net.double(), torch.rand(1, 1, 16, 16).double()
    code = F.relu(
        reference.conv3(F.max_pool2d(F.relu(reference.conv2(F.max_pool2d(F.relu(reference.conv1(x)), 2))), 2))
    )
    up = F.relu(reference.tran_conv2(F.relu(reference.conv4(F.relu(reference.tran_conv1(code))))))
    torch.testing.assert_close(net(x), torch.sigmoid(reference.conv5(up)), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="1 unexpected: conv6.bias"):
        import_cdae_state_dict(reference.state_dict() | {"conv6.bias": torch.zeros(1)}, net)


def projection(inputs: int, outputs: int, dropout: bool = True) -> nn.Module:
    """A projection under the published names: main.1 after a dropout."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = nn.utils.weight_norm(nn.Linear(inputs, outputs), dim=None)
    block = nn.Module()
    block.main = nn.Sequential(*([nn.Dropout(0.2)] if dropout else []), layer)
    return block


class Reference(nn.Module):
    """Modules of the published models under their names; they hold weights and compute nothing."""

    def __init__(self, attention: str, words: int, answers: int, hidden: int, dimensions: int) -> None:
        super().__init__()
        self.w_emb = nn.Module()
        self.w_emb.emb = nn.Embedding(words + 1, dimensions, padding_idx=words)
        self.w_emb.emb_ = nn.Embedding(words + 1, dimensions, padding_idx=words)
        self.q_emb = nn.Module()
        self.q_emb.rnn = nn.LSTM(2 * dimensions, hidden, batch_first=True)
        self.v_att = nn.Module()
        if attention == "san":
            self.v_att.fc11 = nn.Linear(hidden, hidden)
            self.v_att.fc12 = nn.Linear(128, hidden, bias=False)
            self.v_att.fc13 = nn.Linear(hidden, 1)
            self.v_att.layers = nn.ModuleList(
                [nn.Linear(hidden, hidden), nn.Linear(128, hidden, bias=False), nn.Linear(hidden, 1)]
            )
        else:
            logits = nn.Module()
            logits.h_mat = nn.Parameter(torch.randn(1, 2, 1, 3 * hidden))
            logits.h_bias = nn.Parameter(torch.randn(1, 2, 1, 1))
            logits.v_net, logits.q_net = projection(128, 3 * hidden), projection(hidden, 3 * hidden)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.v_att.logits = nn.utils.weight_norm(logits, name="h_mat", dim=None)
            self.b_net = nn.ModuleList(nn.Module() for _ in range(2))
            for block in self.b_net:
                block.v_net, block.q_net = projection(128, hidden), projection(hidden, hidden)
            self.q_prj = nn.ModuleList(projection(hidden, hidden) for _ in range(2))
        self.classifier = nn.Module()
        first, second = (
            projection(*sizes, dropout=False).main[0] for sizes in ((hidden, 2 * hidden), (2 * hidden, answers))
        )
        self.classifier.main = nn.Sequential(first, nn.ReLU(), nn.Dropout(0.5), second)
        self.maml_v_emb = nn.Module()
        for layer in range(1, 5):
            setattr(self.maml_v_emb, f"conv{layer}", nn.Conv2d(1 if layer == 1 else 64, 64, 3))
            setattr(self.maml_v_emb, f"bn{layer}", nn.BatchNorm2d(64))
        self.ae_v_emb = ReferenceAutoencoder()
        self.convert = nn.Linear(16384, 64)


@pytest.mark.parametrize("attention", ["san", "ban"])
def test_a_whole_model_is_taken_entry_by_entry(attention: str) -> None:
    torch.manual_seed(0)
    reference = Reference(attention, words=9, answers=4, hidden=8, dimensions=5)
    net = MEVF(9, 4, attention=attention, hidden=8, dimensions=5)
    published = reference.state_dict()
    net.load_state_dict(import_mevf_state_dict(published, net))
    assert len(published) == len(net.state_dict())
    assert torch.equal(net.embedding.augmenting.weight, reference.w_emb.emb_.weight)
    assert torch.equal(net.visual.meta.convolutions[2].weight, reference.maml_v_emb.conv3.weight)
    feature = torch.randn(3, 8)
    expected = reference.classifier.main.eval()(feature)
    assert torch.allclose(net.classifier.eval()(feature), expected, atol=1e-6)
    if attention == "san":
        assert torch.equal(net.fusion.keys[1].weight, reference.v_att.layers[1].weight)
        assert torch.equal(net.fusion.scores[0].bias, reference.v_att.fc13.bias)
    else:
        effective: Tensor = reference.v_att.logits.h_mat_v / reference.v_att.logits.h_mat_v.norm()
        assert torch.allclose(net.fusion.attention.maps, effective * reference.v_att.logits.h_mat_g, atol=1e-6)
        assert torch.equal(
            net.fusion.pooling[1].words.linear.parametrizations.weight.original1,
            reference.b_net[1].q_net.main[1].weight_v,
        )
        assert torch.equal(net.fusion.projections[0].linear.bias, reference.q_prj[0].main[1].bias)


def test_a_model_of_other_attention_is_refused_by_name() -> None:
    reference = Reference("san", words=9, answers=4, hidden=8, dimensions=5)
    net = MEVF(9, 4, attention="ban", hidden=8, dimensions=5)
    with pytest.raises(ValueError, match=r"missing: fusion\.attention\.bias") as fault:
        import_mevf_state_dict(reference.state_dict(), net)
    assert re.search(r"unexpected: .*fusion\.queries\.0\.weight", str(fault.value))


def test_a_prefix_of_data_parallel_is_taken_off() -> None:
    reference = Reference("san", words=9, answers=4, hidden=8, dimensions=5)
    net = MEVF(9, 4, attention="san", hidden=8, dimensions=5)
    prefixed = {f"module.{name}": tensor for name, tensor in reference.state_dict().items()}
    assert set(import_mevf_state_dict(prefixed, net)) == set(net.state_dict())
