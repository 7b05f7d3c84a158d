"""The student: size and cost, start at the identity, first stages, variants, half resolution."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from medpipe.networks.blocks.fused_gradients import differentiable_warp
from medpipe.networks.blocks.warp import warp
from medpipe.networks.ldr import LDR, CodeStudent, PaperStudent


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def pair(size: int = 64, batch: int = 1) -> Tensor:
    return torch.rand(2, batch, 1, size, size, size, generator=torch.Generator().manual_seed(0))


def small(**options: object) -> LDR:
    torch.manual_seed(0)
    return LDR(64, **{"n_cascades": 2, "channels": 4, **options})


def awake(network: LDR, std: float = 0.05) -> LDR:
    """Give the last layers weights that matter."""
    torch.manual_seed(1)
    for dense in network.dense:
        last = dense.flow if isinstance(dense, PaperStudent) else dense.layers["upsamp1to0"]
        nn.init.normal_(last.weight, std=std)
    return network


def test_the_student_has_1548528_parameters() -> None:
    with torch.device("meta"):
        assert parameters(PaperStudent()) == 1_548_528


def test_its_multiply_accumulates_at_128_are_about_those_of_a_vtn() -> None:
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        cells = (inputs[0] if isinstance(layer, nn.ConvTranspose3d) else output)[0, 0].numel()
        total += cells * layer.weight.numel()

    with torch.device("meta"):
        network = PaperStudent()
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.register_forward_hook(count)
    image = torch.empty(1, 1, 128, 128, 128, device="meta")
    assert network(image, image).shape == (1, 3, 128, 128, 128)
    assert total / 1e9 == pytest.approx(7.5, abs=0.05)


@pytest.mark.parametrize("initial", ["affine_light", "ldr_shared", "none"])
@pytest.mark.parametrize("variant", ["paper", "code"])
def test_an_untrained_student_is_the_identity(initial: str, variant: str) -> None:
    fixed, moving = pair()
    with torch.no_grad():
        result = small(initial=initial, variant=variant)(fixed, moving)
    assert result.field.shape == (1, 3, 64, 64, 64)
    assert result.field.abs().max() < 0.05
    assert (result.warped - moving).abs().max() < 0.05


@pytest.mark.parametrize("half_resolution", [False, True])
def test_a_zeroed_last_layer_gives_the_moving_image_back(half_resolution: bool) -> None:
    fixed, moving = pair()
    network = awake(small(initial="none", half_resolution=half_resolution), std=0.0)
    with torch.no_grad():
        result = network(fixed, moving)
    assert not result.field.any()
    assert torch.equal(result.warped, moving)


def test_the_shared_stage_comes_before_every_other_with_one_set_of_weights() -> None:
    network = small(initial="ldr_shared", n_cascades=3)
    assert network.order == [0, 1, 0, 2, 0, 3]
    assert len(network.dense) == 4
    assert {dense.flow_multiplier for dense in network.dense} == {1 / 4}
    with torch.no_grad():
        assert len(network(*pair()).stage_fields) == 6


def test_without_a_shared_stage_the_factor_is_one_by_the_number_of_cascades() -> None:
    assert {dense.flow_multiplier for dense in small(n_cascades=3).dense} == {1 / 3}


def test_repeats_apply_each_network_in_a_row() -> None:
    assert small(repeats=2).order == [0, 0, 1, 1]


def test_the_light_affine_comes_first() -> None:
    result = small()(*pair())
    assert result.affine.weight.shape == (1, 3, 3)
    assert small(initial="none")(*pair()).affine is None


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_the_first_stage_learns_through_the_warped_images(variant: str) -> None:
    network = awake(small(initial="none", variant=variant))
    network(*pair()).stage_fields[-1].square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.dense[0].parameters())


def test_the_original_image_is_warped_once_by_the_aggregate() -> None:
    fixed, moving = pair()
    with torch.no_grad():
        result = awake(small())(fixed, moving)
    assert result.field.abs().max() > 0.1
    assert torch.equal(result.warped, differentiable_warp(moving, result.field))
    torch.testing.assert_close(result.warped, warp(moving, result.field), rtol=0, atol=1e-5)


def test_half_resolution_predicts_on_half_the_grid() -> None:
    network = awake(small(half_resolution=True))
    with torch.no_grad():
        result = network(*pair())
    assert result.stage_fields[0].shape == (1, 3, 32, 32, 32)
    assert result.field.shape == (1, 3, 64, 64, 64)


def test_the_code_variant_has_the_layers_of_the_published_code() -> None:
    layers = CodeStudent().layers
    assert [layer.out_channels for layer in layers.values()] == [32, 32, 32, 16, 32, 32, 32, 16, 16, 3]
    assert list(layers)[-1] == "upsamp1to0"


def test_it_starts_with_activations_of_constant_size() -> None:
    torch.manual_seed(0)
    network = PaperStudent()
    sizes = []
    for layer in [*network.down, *network.up]:
        layer.register_forward_hook(lambda _, __, output: sizes.append(output.square().mean().item()))
    with torch.no_grad():
        network(*torch.randn(2, 1, 1, 64, 64, 64))
    assert len(sizes) == 7
    assert all(0.2 < size < 5 for size in sizes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_cascades": 0}, "at least 1, found 0"),
        ({"initial": "affine"}, "did you mean 'affine_light'"),
        ({"variant": "papers"}, "did you mean 'paper'"),
        ({"image_size": 40}, "multiples of 16, found 40"),
        ({"image_size": 32}, "at least 48"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LDR(**{"image_size": 64, "channels": 2, **options})


def test_a_student_without_affine_takes_any_multiple_of_16() -> None:
    network = LDR(32, initial="none", channels=2)
    with torch.no_grad():
        assert network(*pair(32)).field.shape == (1, 3, 32, 32, 32)
        assert network(*torch.rand(2, 1, 1, 16, 32, 48)).field.shape == (1, 3, 16, 32, 48)
