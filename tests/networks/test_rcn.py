"""The teacher: sizes and costs as published, limits, padding, options."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medpipe.networks.blocks.affine_registration import AffineNetwork, LightAffineNetwork
from medpipe.networks.blocks.displacement import affine_field
from medpipe.networks.blocks.volume_layers import SameConv3d
from medpipe.networks.rcn import RCN, VTN, StridedVoxelMorph


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def multiply_accumulates(network: nn.Module, size: int = 128) -> int:
    """Of all convolutions, counted from shapes on the meta device."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        cells = (inputs[0] if isinstance(layer, nn.ConvTranspose3d) else output)[0, 0].numel()
        total += cells * layer.weight.numel()

    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.register_forward_hook(count)
    image = torch.empty(1, 1, size, size, size, device="meta")
    network.to("meta")(image, image)
    return total


def pair(size: int = 64, batch: int = 1) -> Tensor:
    return torch.rand(2, batch, 1, size, size, size, generator=torch.Generator().manual_seed(0))


def small(**options: object) -> RCN:
    torch.manual_seed(0)
    return RCN(64, **{"n_cascades": 2, "channels": 4, **options})


@pytest.mark.parametrize(("n_cascades", "count"), [(0, 14_166_288), (1, 42_418_491), (2, 70_670_694), (3, 98_922_897)])
def test_the_cascades_have_the_published_number_of_parameters(n_cascades: int, count: int) -> None:
    with torch.device("meta"):
        assert parameters(RCN(n_cascades=n_cascades)) == count


def test_the_dense_network_has_28252203_parameters() -> None:
    with torch.device("meta"):
        assert parameters(VTN()) == 28_252_203


@pytest.mark.parametrize(("n_cascades", "giga"), [(0, 1.95), (1, 10.15), (2, 18.35), (3, 26.55)])
def test_the_multiply_accumulates_at_128(n_cascades: int, giga: float) -> None:
    with torch.device("meta"):
        network = RCN(n_cascades=n_cascades)
    assert multiply_accumulates(network) / 1e9 == pytest.approx(giga, abs=0.006)


def test_a_cascade_registers_a_batch_and_tells_its_stages() -> None:
    fixed, moving = pair(batch=2)
    with torch.no_grad():
        result = small()(fixed, moving)
    assert result.warped.shape == (2, 1, 64, 64, 64)
    assert result.field.shape == (2, 3, 64, 64, 64)
    assert [len(part) for part in (result.stage_fields, result.fields, result.images)] == [2, 3, 3]
    assert result.affine.weight.shape == (2, 3, 3)
    assert result.affine.shift.shape == (2, 3)


def test_sizes_may_differ_between_axes() -> None:
    fixed = torch.rand(1, 1, 64, 128, 64)
    with torch.no_grad():
        assert RCN((64, 128, 64), n_cascades=1, channels=2)(fixed, fixed).field.shape == (1, 3, 64, 128, 64)


def test_each_items_field_is_its_own() -> None:
    fixed, moving = pair(batch=2)
    network = small().eval()
    with torch.no_grad():
        both, alone = network(fixed, moving), network(fixed[1:], moving[1:])
    assert torch.allclose(both.field[1:], alone.field, atol=1e-3)


def test_with_zeroed_last_layers_the_affine_alone_remains() -> None:
    network = small()
    for dense in network.dense:
        nn.init.zeros_(dense.layers["upsamp1to0"].weight)
    with torch.no_grad():
        result = network(*pair())
    expected = affine_field(*result.affine, (64, 64, 64))
    assert expected.abs().max() > 0.01
    assert torch.allclose(result.field, expected, atol=1e-4)


def test_n_cascades_divide_the_field_between_them() -> None:
    torch.manual_seed(0)
    one = VTN(4)
    fixed, moving = pair()
    with torch.no_grad():
        full = one(fixed, moving)
        one.flow_multiplier = small(n_cascades=4).dense[0].flow_multiplier
        assert torch.allclose(one(fixed, moving) * 4, full, atol=1e-4)


def test_repeats_of_one_are_the_plain_cascade_and_more_share_weights() -> None:
    plain, again, twice = small().eval(), small(repeats=1).eval(), small(repeats=2).eval()
    fixed, moving = pair()
    with torch.no_grad():
        assert torch.equal(plain(fixed, moving).field, again(fixed, moving).field)
        assert len(twice(fixed, moving).stage_fields) == 4
    assert parameters(twice) == parameters(plain)
    assert twice.order == [0, 0, 1, 1]
    plain.load_state_dict(twice.state_dict())


def test_gradients_reach_the_affine_network_through_all_warps() -> None:
    fixed, moving = pair()
    network = small()
    network(fixed, moving).stage_fields[-1].square().mean().backward()
    assert all(head.weight.grad.abs().max() > 0 for head in network.affine.heads.values())


def test_an_untrained_affine_is_random_but_small_init_is_the_identity() -> None:
    fixed, moving = pair()
    with torch.no_grad():
        random, small_init = small(n_cascades=0)(fixed, moving), small(n_cascades=0, affine_init="small")(fixed, moving)
    assert random.field.abs().max() > 0.01
    assert small_init.field.abs().max() < 0.01


def test_uniform_scaling_bounds_weights_by_the_kernels_fan() -> None:
    network = VTN(4)
    convolution, up = network.layers["conv3_1"], network.layers["deconv3"]
    assert convolution.weight.abs().max() <= math.sqrt(3 / (27 * 16))
    assert convolution.weight.std().item() == pytest.approx(math.sqrt(1 / (27 * 16)), rel=0.05)
    assert up.weight.abs().max() <= math.sqrt(3 / (64 * 16))
    assert up.weight.std().item() == pytest.approx(math.sqrt(1 / (64 * 16)), rel=0.05)
    assert not convolution.bias.any()


@pytest.mark.parametrize(("kernel", "size"), [(3, 8), (3, 7), (5, 8), (5, 9)])
def test_strided_convolutions_pad_as_tensorflow_does(kernel: int, size: int) -> None:
    layer = SameConv3d(1, 1, 2, kernel_size=kernel)
    volume = torch.rand(1, 1, size, size, size)
    outputs = -(-size // 2)
    total = max((outputs - 1) * 2 + kernel - size, 0)
    before = total // 2
    padded = F.pad(volume, (before, total - before) * 3)
    slow = torch.empty(outputs, outputs, outputs)
    for i, j, k in torch.cartesian_prod(*[torch.arange(outputs)] * 3).tolist():
        window = padded[0, 0, 2 * i : 2 * i + kernel, 2 * j : 2 * j + kernel, 2 * k : 2 * k + kernel]
        slow[i, j, k] = (window * layer.weight[0, 0]).sum() + layer.bias[0]
    assert torch.allclose(layer(volume)[0, 0], slow, atol=1e-5)


def test_symmetric_padding_gives_another_field() -> None:
    fixed, moving = pair()
    same, symmetric = VTN(4), VTN(4, padding="symmetric")
    symmetric.load_state_dict(same.state_dict())
    with torch.no_grad():
        a, b = same(fixed, moving), symmetric(fixed, moving)
    assert (a - b).abs().max() > 0.1 * a.abs().max()


def test_the_voxelmorph_base_starts_at_zero_and_has_its_layers() -> None:
    network = StridedVoxelMorph()
    fixed, moving = pair(32)
    with torch.no_grad():
        field = network(fixed, moving)
    assert field.shape == (1, 3, 32, 32, 32)
    assert 0 < field.abs().max() < 0.01
    assert [layer.out_channels for layer in network.layers.values()] == [16] + [32] * 8 + [16, 16, 3]
    with torch.no_grad():
        assert small(base="voxelmorph")(*pair()).field.shape == (1, 3, 64, 64, 64)


@pytest.mark.parametrize(("kind", "extent"), [(AffineNetwork, 2), (LightAffineNetwork, 3)])
def test_the_heads_see_the_whole_remaining_extent(kind: type[nn.Module], extent: int) -> None:
    with torch.device("meta"):
        network = kind(128)
    assert network.heads["conv7_W"].kernel_size == (extent,) * 3
    assert network.heads["conv7_b"].bias is None


def test_half_resolution_and_checkpointing_are_options() -> None:
    fixed, moving = pair()
    network = small(half_resolution=True, checkpointing=True)
    result = network(fixed, moving)
    assert result.stage_fields[0].shape == (1, 3, 32, 32, 32)
    assert result.field.shape == (1, 3, 64, 64, 64)
    result.warped.mean().backward()


def test_autocast_to_bfloat16_keeps_fields_in_float32() -> None:
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        result = small()(*pair())
    assert result.field.dtype == result.warped.dtype == torch.float32


def test_weights_survive_saving(tmp_path) -> None:
    network, other = small(), RCN(64, n_cascades=2, channels=4)
    torch.save(network.state_dict(), tmp_path / "net.pth")
    other.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True))
    with torch.no_grad():
        assert torch.equal(network(*pair()).field, other(*pair()).field)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_cascades": 11}, "0 to 10, found 11"),
        ({"base": "vtm"}, "did you mean 'vtn'"),
        ({"image_size": 96}, "multiples of 64, found 96"),
        ({"image_size": (64, 64)}, "one or three multiples of 64"),
        ({"repeats": 0}, "at least 1, found 0"),
        ({"affine_init": "tiny"}, "unknown init 'tiny'"),
        ({"padding": "same"}, "did you mean 'tf_same'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RCN(**{"image_size": 64, "n_cascades": 1, "channels": 2, **options})


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"built for images \(64, 64, 64\), found \(128, 128, 128\)"):
        small(n_cascades=0)(*torch.zeros(2, 1, 1, 128, 128, 128))


@pytest.mark.parametrize("base", ["vtn", "voxelmorph"])
def test_training_may_start_at_the_identity(base) -> None:
    torch.manual_seed(0)
    network = RCN(64, n_cascades=2, base=base, channels=2, affine_init="small", dense_init="small")
    fixed, moving = torch.rand(2, 1, 1, 64, 64, 64)
    with torch.no_grad():
        assert network(fixed, moving).field.abs().max() < 0.05
    with pytest.raises(ValueError, match="dense_init"):
        RCN(64, dense_init="large")


@pytest.mark.parametrize("size", [16, 32, (48, 32, 80)])
def test_the_voxelmorph_base_takes_grids_that_are_too_small_for_six_halvings(size) -> None:
    network = RCN(size, n_cascades=1, channels=2, base="voxelmorph", affine_init="small")
    shape = (size,) * 3 if isinstance(size, int) else size
    fixed, moving = torch.rand(2, 1, 1, *shape)
    result = network(fixed, moving)
    assert result.field.shape == (1, 3, *shape)
    assert result.field.abs().max() < 0.1  # it starts at the identity
    with pytest.raises(ValueError, match="multiples of 64"):
        RCN(size, n_cascades=1)


def test_a_cascade_without_the_affine_network_has_the_dense_ones_alone() -> None:
    network = RCN(64, n_cascades=2, channels=2, affine=False)
    assert network(*pair()).affine is None
    assert sum(p.numel() for p in network.parameters()) == 2 * sum(p.numel() for p in VTN(2).parameters())
    with pytest.raises(ValueError, match="1 to 10, found 0"):
        RCN(64, n_cascades=0, affine=False)
