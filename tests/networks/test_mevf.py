"""MEVF: sizes as counted on the released modules, shapes, modes, options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from medpipe.networks.mevf import MEVF, DenoisingAutoencoder, EnhancedFeatures, EpisodeClassifier, MetaEncoder


def parameters(net: torch.nn.Module, trained: bool = False) -> int:
    return sum(p.numel() for p in net.parameters() if p.requires_grad or not trained)


def small(**options: Any) -> MEVF:
    torch.manual_seed(0)
    return MEVF(9, 4, hidden=8, dimensions=5, **options)


def batch(count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    questions = torch.randint(0, 10, (count, 12), generator=generator)
    return (
        questions,
        torch.rand(count, 1, 84, 84, generator=generator),
        torch.rand(count, 1, 128, 128, generator=generator),
    )


@pytest.mark.parametrize(
    ("attention", "encoders", "count"),
    [
        ("san", "both", 13_985_199),
        ("san", "maml", 12_748_798),
        ("san", "cdae", 13_742_191),
        ("ban", "both", 19_635_640),
        ("ban", "maml", 18_202_631),
        ("ban", "cdae", 19_196_024),
    ],
)
def test_parameters_are_those_counted_on_the_released_modules(attention: str, encoders: str, count: int) -> None:
    with torch.device("meta"):
        net = MEVF(1177, 458, attention=attention, encoders=encoders)
        frozen = MEVF(1177, 458, attention=attention, encoders=encoders, train_augmenting=False)
    assert parameters(net) == parameters(net, trained=True) == count
    assert parameters(frozen, trained=True) == count - 353_400


def test_the_meta_encoder_halves_84_to_6_in_four_layers() -> None:
    net = MetaEncoder()
    assert parameters(net) == 111_936
    sizes = []
    for convolution in net.convolutions:
        convolution.register_forward_hook(lambda _, __, output: sizes.append(output.shape[-1]))
    assert net(torch.rand(2, 1, 84, 84)).shape == (2, 64)
    assert sizes == [42, 21, 11, 6]
    assert torch.allclose(net.eval().maps(torch.ones(1, 1, 84, 84)).mean((2, 3)), net(torch.ones(1, 1, 84, 84)))


def test_the_auto_encoder_has_a_code_of_16384_and_gives_an_image_back() -> None:
    net = DenoisingAutoencoder()
    assert parameters(net) == 56_689
    images = torch.rand(2, 1, 128, 128)
    assert net.encode(images).shape == (2, 16, 32, 32)
    found = net(images)
    assert found.shape == images.shape
    assert 0 < found.min() < found.max() < 1
    with pytest.raises(ValueError, match=r"divisible by 4, found \(126, 128\)"):
        net(torch.rand(1, 1, 126, 128))


def test_an_episode_has_one_logit_per_class() -> None:
    net = EpisodeClassifier(MetaEncoder(), 3)
    assert net(torch.rand(2, 1, 84, 84)).shape == (2, 3)
    assert parameters(net) == 111_936 + 64 * 3 + 3


@pytest.mark.parametrize("attention", ["san", "ban"])
def test_training_gives_logits_and_the_reconstruction_with_its_image(attention: str) -> None:
    net, inputs = small(attention=attention), batch()
    output = net(*inputs)
    assert output["logits"].shape == (2, 4)
    assert output["reconstruction"].shape == (2, 1, 128, 128)
    assert output["image"] is inputs[2]
    (output["logits"].sum() + output["reconstruction"].mean()).backward()
    without = {name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    unused = {"fusion.queries.1.weight", "fusion.queries.1.bias", "fusion.scores.0.weight", "fusion.scores.1.weight"}
    unused |= {"fusion.scores.0.bias", "fusion.scores.1.bias"}  # shares of one region are 1 whatever its score
    assert without <= (unused if attention == "san" else {"fusion.attention.bias"})  # softmax takes no notice of it


def test_evaluation_gives_logits_alone_and_no_sample_depends_on_another() -> None:
    net, (questions, image, large) = small().eval(), batch(3)
    together = net(questions, image, large)
    assert together.shape == (3, 4)
    assert torch.allclose(net(questions[:1], image[:1], large[:1]), together[:1], atol=1e-6)


@pytest.mark.parametrize(("encoders", "needs"), [("maml", "84 x 84"), ("cdae", "128 x 128")])
def test_one_encoder_needs_its_image_alone(encoders: str, needs: str) -> None:
    net, (questions, image, large) = small(encoders=encoders), batch()
    given = (image, None) if encoders == "maml" else (None, large)
    output = net(questions, *given)
    assert ("reconstruction" in output) is (encoders == "cdae")
    with pytest.raises(ValueError, match=f"images of {needs} are missing"):
        net(questions, None, None)


@pytest.mark.parametrize("attention", ["san", "ban"])
def test_without_encoders_the_question_alone_is_answered_and_regions_get_no_gradient(attention: str) -> None:
    net, (questions, image, large) = small(encoders="none", attention=attention), batch()
    assert parameters(net.visual) == 0
    assert net.visual.images == ()
    output = net(questions)
    assert set(output) == {"logits"}
    output["logits"].square().sum().backward()
    moved = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    assert "question.rnn.weight_hh_l0" in moved
    seen = ("fusion.keys.", "fusion.attention.regions.linear.parametrizations")
    assert not [name for name in moved if name.startswith(seen)]
    net.eval()
    assert torch.equal(net(questions), net(questions, image, large))
    assert not torch.equal(net(questions), net(questions.flip(1)))


@pytest.mark.parametrize(("encoders", "count"), [("vgg16", 14_714_688), ("resnet34", 21_284_672)])
@pytest.mark.parametrize(("tokens", "places"), [("one", 1), ("grid", 16)])
def test_a_network_for_photographs_takes_the_large_image(encoders: str, count: int, tokens: str, places: int) -> None:
    net, (questions, _, large) = small(encoders=encoders, visual_tokens=tokens), batch()
    assert parameters(net.visual) == count
    assert net.visual.images == ("large",)
    assert net.visual(None, large)[0].shape == (2, places, 512)
    assert net(questions, None, large)["logits"].shape == (2, 4)
    with pytest.raises(ValueError, match="images of 128 x 128 are missing"):
        net(questions)


def test_a_grid_has_36_tokens_whose_mean_is_the_one_token() -> None:
    torch.manual_seed(0)
    one, grid = EnhancedFeatures().eval(), EnhancedFeatures(tokens="grid").eval()
    grid.load_state_dict(one.state_dict())
    _, image, large = batch()
    tokens, _ = grid(image, large)
    assert tokens.shape == (2, 36, 128)
    assert torch.allclose(tokens.mean(dim=1, keepdim=True), one(image, large)[0], atol=1e-6)
    assert torch.equal(tokens[:, 0, 64:], tokens[:, 35, 64:])


def test_noise_is_added_to_the_auto_encoders_image_in_training_alone_and_not_to_what_it_shall_become() -> None:
    net, noisy, inputs = small(dropout=0.0), small(dropout=0.0), batch()
    noisy.visual.noise = 0.1
    seen = []
    for one in (net, noisy):
        one.visual.autoencoder.down1.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        assert one(*inputs)["image"] is inputs[2]
    assert torch.equal(seen[0], inputs[2])
    assert float((seen[1] - inputs[2]).std()) == pytest.approx(0.1, rel=0.05)
    with torch.no_grad():
        assert torch.equal(net.eval()(*inputs), noisy.eval()(*inputs))


@pytest.mark.parametrize(("tokens", "places"), [("one", 1), ("grid", 36)])
def test_shares_of_pairs_equal_a_loop_over_the_formula_and_add_up_to_1_with_padding(tokens: str, places: int) -> None:
    net, (questions, image, large) = small(visual_tokens=tokens).eval(), batch()
    questions[:, 5:] = 9  # padding
    shares = net.shares(questions, image, large)
    assert shares is not None
    assert shares.shape == (2, 2, places, 12)
    assert torch.allclose(shares.sum(dim=(2, 3)), torch.ones(2, 2))
    assert shares[..., 5:].min() > 0
    with torch.no_grad():
        attention = net.fusion.attention  # type: ignore[union-attr]
        a = attention.regions(net.visual(image, large)[0])  # type: ignore[operator,union-attr]
        b = attention.words(net.question(net.embedding(questions)))  # type: ignore[operator,union-attr]
        for glimpse in range(2):
            scores = [
                [float((attention.maps[0, glimpse, 0] * a[1, k] * b[1, t]).sum()) for t in range(12)]
                for k in range(places)
            ]  # type: ignore[index,union-attr]
            expected = torch.tensor(scores).exp() / torch.tensor(scores).exp().sum()
            assert torch.allclose(shares[1, glimpse], expected, atol=1e-5)


def test_stacked_attention_has_shares_of_places_alone_and_none_of_one() -> None:
    inputs = batch()
    assert small(attention="san").eval().shares(*inputs) is None
    shares = small(attention="san", visual_tokens="grid", hops=3).eval().shares(*inputs)
    assert shares is not None
    assert shares.shape == (2, 3, 36)
    assert torch.allclose(shares.sum(dim=2), torch.ones(2, 3))


def test_decoder_gradients_come_from_the_reconstruction_alone() -> None:
    net = small()
    net(*batch())["logits"].sum().backward()
    assert net.visual.autoencoder.up1.weight.grad is None
    assert net.visual.autoencoder.down1.weight.grad.any()


@pytest.mark.parametrize("attention", ["san", "ban"])
def test_an_exported_network_gives_the_same_logits(attention: str, tmp_path: Path) -> None:
    net, inputs = small(attention=attention).eval(), batch()
    torch.export.save(torch.export.export(net, inputs), tmp_path / "net.pt2")
    again = torch.export.load(tmp_path / "net.pt2").module()
    assert torch.allclose(again(*inputs), net(*inputs), atol=1e-5)


def test_weights_survive_saving(tmp_path: Path) -> None:
    net, other = small().eval(), small(rnn="lstm").eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    other.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True))
    assert torch.equal(other(*batch()), net(*batch()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "bann"}, "unknown attention 'bann'.*did you mean 'ban'"),
        ({"encoders": "all"}, "unknown set of encoders 'all'"),
        ({"visual_tokens": "grids"}, "did you mean 'grid'"),
        ({"visual_tokens": "grid", "encoders": "cdae"}, "encoders=cdae has none; give encoders=both, maml, vgg16"),
        ({"visual_tokens": "grid", "encoders": "none"}, "encoders=none has none"),
        ({"encoders": "vgg16", "denoising_side": 28}, "32 or more rows, found 28; give a larger large_side"),
        ({"rnn": "rnn"}, "unknown recurrent layer"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)
    with pytest.raises(ValueError, match="at least 1, found 0 and 3"):
        MEVF(0, 3)
