"""Pretrained parts in a network before it is trained."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medpipe.errors import RequestError
from medpipe.networks.imagenet_features import ImageNetFeatures
from medpipe.networks.mevf import MEVF, DenoisingAutoencoder, MetaEncoder
from medpipe.networks.mevf_start import start_mevf

SMALL = {"hidden": 8, "dimensions": 4, "features": 4, "denoising_side": 16}


def network(**options) -> MEVF:
    torch.manual_seed(0)
    return MEVF(3, 2, **{**SMALL, **options})


def saved(path, module) -> str:
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 1)
    torch.save(module.state_dict(), path)
    return str(path)


def test_both_encoders_are_taken_and_the_rest_is_left(tmp_path) -> None:
    meta, autoencoder = MetaEncoder(channels=4), DenoisingAutoencoder()
    files = {"maml": saved(tmp_path / "m.pt", meta), "cdae": saved(tmp_path / "c.pt", autoencoder)}
    found, before = start_mevf(network(), **files).state_dict(), network().state_dict()
    for part, given in (("meta", meta), ("autoencoder", autoencoder)):
        assert all(torch.equal(found[f"visual.{part}.{name}"], value) for name, value in given.state_dict().items())
    rest = [name for name in found if not name.startswith(("visual.meta.", "visual.autoencoder."))]
    assert all(torch.equal(found[name], before[name]) for name in rest)


def test_normalisations_stay_where_they_are_not_carried(tmp_path) -> None:
    file = saved(tmp_path / "m.pt", MetaEncoder(channels=4))
    found = start_mevf(network(), maml=file, carry_norms=False).state_dict()
    assert found["visual.meta.norms.0.weight"].tolist() == [1] * 4
    assert not torch.equal(
        found["visual.meta.convolutions.0.bias"], network().state_dict()["visual.meta.convolutions.0.bias"]
    )


def test_the_authors_arrays_and_state_dict_are_taken(tmp_path) -> None:
    arrays = {f"b{layer}": np.full(4, layer, np.float32) for layer in range(1, 5)}
    arrays |= {f"conv{layer}": np.zeros((3, 3, 1 if layer == 1 else 4, 4), np.float32) for layer in range(1, 5)}
    found = start_mevf(network(), maml="pretrained_maml.weights", maml_arrays=arrays)
    assert found.visual.meta is not None
    assert found.visual.meta.convolutions[2].bias.tolist() == [3] * 4
    names = {"down1": "conv1", "down2": "conv2", "code": "conv3", "up1": "tran_conv1", "smooth": "conv4"}
    names |= {"up2": "tran_conv2", "image": "conv5"}
    ours = DenoisingAutoencoder().state_dict()
    torch.save(
        {f"{names[name.split('.')[0]]}.{name.split('.')[1]}": value for name, value in ours.items()}, tmp_path / "a.pth"
    )
    found = start_mevf(network(), cdae=tmp_path / "a.pth")
    assert found.visual.autoencoder is not None
    assert torch.equal(found.visual.autoencoder.code.weight, ours["code.weight"])


def test_word_tables_are_set_and_encoders_are_frozen() -> None:
    tables = SimpleNamespace(words=np.ones((3, 4), np.float32), augmenting=np.full((3, 4), 2, np.float32))
    found = start_mevf(network(), tables=tables, freeze_encoders=True)
    assert found.embedding(torch.tensor([[0, 3]])).tolist() == [[[1] * 4 + [2] * 4, [0] * 8]]
    frozen = {name for name, value in found.named_parameters() if not value.requires_grad}
    assert frozen == {name for name, _ in found.named_parameters() if name.startswith(("visual.meta.", "visual.auto"))}


def test_what_a_training_alone_needs_is_set() -> None:
    found = start_mevf(network(), train_words=False, cdae_noise=0.1)
    assert {name for name, value in found.named_parameters() if not value.requires_grad} == {"embedding.words.weight"}
    assert found.visual.noise == 0.1
    with pytest.raises(RequestError, match=r"cdae_noise must not be negative, found -0\.1"):
        start_mevf(network(), cdae_noise=-0.1)


def test_a_network_for_photographs_starts_from_a_file_and_says_where_it_has_none(tmp_path, caplog) -> None:
    torch.manual_seed(1)
    given = {**ImageNetFeatures("resnet34").backbone.state_dict(), "fc.weight": torch.zeros(2, 2)}
    torch.save(given, tmp_path / "r.pth")
    options = {"encoders": "resnet34", "denoising_side": 32}
    found = start_mevf(network(**options), imagenet=tmp_path / "r.pth", freeze_encoders=True)
    assert found.visual.photographs is not None
    assert torch.equal(found.visual.photographs.backbone.state_dict()["conv1.weight"], given["conv1.weight"])
    assert not any(parameter.requires_grad for parameter in found.visual.photographs.parameters())
    assert not caplog.records
    start_mevf(network(**options))
    assert "starts at random; give pretrained_imagenet=FILE" in caplog.text


def test_what_does_not_fit_is_named(tmp_path) -> None:
    file = saved(tmp_path / "m.pt", MetaEncoder(channels=6))
    with pytest.raises(RequestError, match=r"pretrained_maml '.*m\.pt'.*of another shape.*features="):
        start_mevf(network(), maml=file)
    with pytest.raises(RequestError, match="change encoders="):
        start_mevf(network(encoders="cdae"), maml=file)
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(RequestError, match=r"pretrained_cdae '.*text\.pt'"):
        start_mevf(network(), cdae=tmp_path / "text.pt")
    with pytest.raises(RequestError, match=r"pretrained_imagenet=.*change encoders="):
        start_mevf(network(), imagenet=file)
    with pytest.raises(RequestError, match=r"pretrained weights '.*m\.pt'.*missing"):
        start_mevf(network(encoders="resnet34", denoising_side=32), imagenet=file)
