"""MMQ: sizes as published, maps, statistics of batches, modes, and the start from meta-learned encoders."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medpipe.errors import RequestError
from medpipe.networks.mevf import MEVF, DenoisingAutoencoder
from medpipe.networks.mmq import MMQ, MetaFeatures, MetaLearner, PatchEncoder
from medpipe.networks.mmq_start import start_mmq


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def small(**options: Any) -> MMQ:
    torch.manual_seed(0)
    return MMQ(9, 4, **{"hidden": 8, "dimensions": 5, "features": 6, **options})


def batch(count: int = 3, colours: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return (
        torch.randint(0, 10, (count, 12), generator=generator),
        torch.rand(count, colours, 84, 84, generator=generator),
        torch.rand(count, 1, 128, 128, generator=generator),
    )


@pytest.mark.parametrize(
    ("profile", "classes", "count", "colours", "sides"),
    [("rad", 4, 107_844, 1, [41, 20, 9, 8]), ("path_vqa", 6, 33_702, 3, [82, 39, 17, 6])],
)
def test_the_learners_have_the_published_layers(profile, classes, count, colours, sides) -> None:
    net = MetaLearner(classes, profile=profile)
    assert parameters(net) == count
    found: list[int] = []
    for convolution in net.encoder.convolutions:
        convolution.register_forward_hook(lambda _, __, output: found.append(output.shape[-1]))
    images = torch.rand(2, colours, 84, 84)
    assert net(images).shape == (2, classes)
    assert found == sides
    assert net.encoder(images).shape == (2, 64 if profile == "rad" else 32)
    assert net.encoder.map_side(84) == net.encoder.maps(images).shape[-1] == (8 if profile == "rad" else 5)


@pytest.mark.parametrize("profile", ["rad", "path_vqa"])
@pytest.mark.parametrize("side", [46, 47, 50, 63, 84, 100])
def test_the_side_of_the_last_map_is_counted_as_the_layers_make_it(profile, side) -> None:
    net = PatchEncoder(profile, channels=2)
    assert net.map_side(side) == net.maps(torch.rand(2, net.profile.colours, side, side)).shape[-1]


@pytest.mark.parametrize(("profile", "least"), [("rad", 23), ("path_vqa", 46)])
def test_images_that_are_too_small_are_refused(profile, least) -> None:
    assert PatchEncoder(profile).map_side(least) == 1
    with pytest.raises(ValueError, match=f"images of {least - 1} rows are too small.*small_side"):
        MetaLearner(profile=profile, side=least - 1)


def test_weights_start_with_hes_spread_and_biases_with_0() -> None:
    torch.manual_seed(0)
    net = MetaLearner()
    for layer in (*net.encoder.convolutions[1:], net.head):
        fan_in = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.05)
        assert not layer.bias.any()
    for norm in net.encoder.norms:
        assert (norm.weight.unique().tolist(), norm.bias.unique().tolist()) == ([1], [0])


def test_a_learner_always_takes_the_statistics_of_the_batch() -> None:
    net = MetaLearner(channels=4)
    images = torch.rand(4, 1, 84, 84)
    torch.testing.assert_close(net.eval()(images), net.train()(images))
    assert not list(net.buffers())
    found = net.encoder.maps(images)
    torch.testing.assert_close(found.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)


def test_running_statistics_make_an_answer_independent_of_what_it_is_asked_with() -> None:
    questions, images, _ = batch()
    for norms, alone in (("running", True), ("batch", False)):
        net = small(norms=norms)
        net(questions, images)
        net.eval()
        together, single = net(questions, images)[:1], net(questions[:1], images[:1])
        assert torch.allclose(together, single, atol=1e-5) is alone


def test_running_statistics_are_collected_in_training() -> None:
    net = small()
    before = net.visual.meta[0].norms[0].running_mean.clone()
    net(*batch()[:2])
    assert not torch.equal(net.visual.meta[0].norms[0].running_mean, before)


@pytest.mark.parametrize(("models", "with_cdae", "width"), [(3, False, 192), (2, True, 192), (1, False, 64)])
def test_features_stand_side_by_side(models, with_cdae, width) -> None:
    net = MetaFeatures(models, with_cdae=with_cdae).eval()
    _, images, large = batch(2)
    token, _ = net(images, large if with_cdae else None)
    assert token.shape == (2, 1, width)
    torch.testing.assert_close(token[:, 0, :64], net.meta[0](images))
    assert net.images == (("small", "large") if with_cdae else ("small",))


@pytest.mark.parametrize("attention", ["san", "ban"])
@pytest.mark.parametrize("profile", ["rad", "path_vqa"])
def test_answers_have_a_logit_each_and_all_encoders_learn(attention, profile) -> None:
    net = small(attention=attention, profile=profile, with_cdae=True)
    questions, images, large = batch(colours=3 if profile == "path_vqa" else 1)
    found = net(questions, images, large)
    assert found["logits"].shape == (3, 4)
    assert found["reconstruction"].shape == large.shape
    (found["logits"].sum() + found["reconstruction"].sum()).backward()
    for encoder in net.visual.meta:
        assert encoder.convolutions[0].weight.grad.abs().sum() > 0
    assert net.visual.autoencoder.down1.weight.grad is not None
    assert net.eval()(questions, images, large).shape == (3, 4)


def test_the_vqa_network_differs_from_mevf_in_its_encoders_alone() -> None:
    with torch.device("meta"):
        net = MMQ(1177, 458, attention="san")
    # SAN of MEVF without encoders, whose token is 1 wide: two keys of 1024; here of 192; and 3 encoders without heads.
    encoders = 3 * (107_844 - 16_388)
    with torch.device("meta"):
        bare = MEVF(1177, 458, attention="san", encoders="none")
    assert parameters(net) == parameters(bare) + encoders + 2 * 1024 * 191


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": "rat"}, "unknown profile 'rat'.*did you mean 'rad'"),
        ({"norms": "none"}, "unknown kind of batch normalisation"),
        ({"models": 0}, "models must be at least 1"),
        ({"side": 20}, "images of 20 rows are too small"),
        ({"attention": "non"}, "unknown attention"),
    ],
)
def test_unknown_options_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_a_missing_image_is_told() -> None:
    with pytest.raises(ValueError, match="an image is missing; the encoders look at: small, large"):
        small(with_cdae=True)(*batch()[:2])


def chosen(path: Any, count: int = 2, **options: Any) -> nn.ModuleList:
    torch.manual_seed(7)
    encoders = nn.ModuleList(PatchEncoder(norms="batch", **{"channels": 6, **options}) for _ in range(count))
    torch.save(encoders.state_dict(), path)
    return encoders


@pytest.mark.parametrize("norms", ["running", "batch"])
def test_a_training_starts_from_the_chosen_encoders(tmp_path, norms) -> None:
    encoders = chosen(tmp_path / "model.pt")
    net = start_mmq(small(models=2, norms=norms), meta=tmp_path / "model.pt", freeze_encoders=True)
    for name, value in encoders.state_dict().items():
        assert torch.equal(net.visual.meta.state_dict()[name], value)
    assert not any(parameter.requires_grad for parameter in net.visual.meta.parameters())
    assert all(parameter.requires_grad for parameter in net.classifier.parameters())
    if norms == "running":
        assert net.visual.meta[1].norms[3].running_var.unique().tolist() == [1]


def test_fewer_encoders_than_were_chosen_are_the_best(tmp_path) -> None:
    encoders = chosen(tmp_path / "model.pt", 3)
    record = tmp_path / "selection.json"
    for said in (None, "{}", '{"format": "medpipe-meta-selection/1"}'):  # nothing tells that the best come first
        if said is not None:
            record.write_text(said)
        with pytest.raises(RequestError, match="which are the best stands in selection.json beside it.*give models=3"):
            start_mmq(small(models=2), meta=tmp_path / "model.pt")
    record.write_text('{"format": "medpipe-meta-selection/2"}')
    net = start_mmq(small(models=2), meta=tmp_path / "model.pt")
    for place in (0, 1):
        assert torch.equal(net.visual.meta[place].convolutions[2].weight, encoders[place].convolutions[2].weight)


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (1, {}, "holds 1 encoders, and the network has 2; give models=1"),
        (2, {"channels": 5}, "of another shape.*give the profile= and features="),
        (2, {"profile": "path_vqa"}, "of another shape"),
    ],
)
def test_encoders_that_do_not_fit_are_refused(tmp_path, count, options, message) -> None:
    chosen(tmp_path / "model.pt", count, **options)
    with pytest.raises(RequestError, match=message):
        start_mmq(small(models=2), meta=tmp_path / "model.pt")


def test_other_files_are_refused(tmp_path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(RequestError, match=r"holds no numbered encoders; give model\.pt"):
        start_mmq(small(), meta=tmp_path / "other.pt")
    with pytest.raises(RequestError, match=r"no weights file at gone\.pt; give model\.pt of train_meta"):
        start_mmq(small(), meta="gone.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(RequestError, match="pretrained_meta"):
        start_mmq(small(), meta=tmp_path / "text.pt")


def test_weights_of_an_auto_encoder_need_one(tmp_path) -> None:
    with pytest.raises(RequestError, match="has no auto-encoder; give with_cdae=true"):
        start_mmq(small(), cdae=tmp_path / "cdae.pt")
    torch.manual_seed(5)
    torch.save(DenoisingAutoencoder().state_dict(), tmp_path / "cdae.pt")
    net = start_mmq(small(with_cdae=True), cdae=tmp_path / "cdae.pt")
    expected = torch.load(tmp_path / "cdae.pt", weights_only=True)["down1.weight"]
    assert torch.equal(net.visual.autoencoder.down1.weight, expected)
