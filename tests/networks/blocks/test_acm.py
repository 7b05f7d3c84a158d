"""The attend-and-compare module against its formulas, its invariants and the published numbers."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from medpipe.networks.blocks import ACM_MODES, AttendCompare, take_orthogonality


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return module


def small(mode: str = "full", centre_kq: bool = True, channels: int = 8, groups: int = 2) -> AttendCompare:
    module = AttendCompare(channels, groups=groups, mode=mode, centre_kq=centre_kq).double()
    randomised(module)
    return module


def features(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def slow_pool(x: list[list[float]], weight: Tensor, bias: Tensor, groups: int, centre: bool) -> list[float]:
    """The pooled vector of one image: x[channel][position] to one number per channel, in plain Python."""
    channels, positions = len(x), len(x[0])
    per_group = channels // groups
    mean = [sum(row) / positions for row in x]
    centred = [[value - mean[c] for value in row] for c, row in enumerate(x)]
    pooled = []
    for c in range(channels):
        group = c // per_group
        logits = []
        for n in range(positions):
            terms = [float(weight[group, k]) * centred[group * per_group + k][n] for k in range(per_group)]
            logits.append(sum(terms) + float(bias[group]))
        top = max(logits)
        exponentials = [math.exp(value - top) for value in logits]
        source = centred if centre else x
        pooled.append(sum(e * source[c][n] for n, e in enumerate(exponentials)) / sum(exponentials))
    return pooled


def slow_gate(x: list[list[float]], module: AttendCompare) -> list[float]:
    """P of one image in plain Python."""
    groups, channels = module.groups, len(x)
    first, second = module.gate_reduce, module.gate_expand
    assert first is not None
    assert second is not None
    hidden, per_group = first.out_channels, channels // groups
    mean = [sum(row) / len(row) for row in x]
    middle = []
    for h in range(hidden):
        start = h // (hidden // groups) * per_group
        value = sum(float(first.weight[h, k]) * mean[start + k] for k in range(per_group))
        middle.append(max(0.0, value + float(first.bias[h])))
    gate = []
    for c in range(channels):
        start = c // per_group * (hidden // groups)
        value = sum(float(second.weight[c, k]) * middle[start + k] for k in range(hidden // groups))
        gate.append(1 / (1 + math.exp(-value - float(second.bias[c]))))
    return gate


@torch.no_grad()
def slow_acm(x: Tensor, module: AttendCompare) -> tuple[Tensor, list[float]]:
    """Y and dp by loops over images, channels and positions."""
    y, values = torch.empty_like(x), []
    for b, image in enumerate(x):
        flat = image.flatten(1).tolist()
        zero, one = [0.0] * len(flat), [1.0] * len(flat)
        pooled = []
        for conv in (module.key_map, module.query_map):
            if conv is None:
                pooled.append(zero)
            else:
                pooled.append(slow_pool(flat, conv.weight[:, :, 0, 0], conv.bias, module.groups, module.centre_kq))
        gate = one if module.gate_reduce is None else slow_gate(flat, module)
        for c, row in enumerate(flat):
            new = [(value + pooled[0][c] - pooled[1][c]) * gate[c] for value in row]
            y[b, c] = torch.tensor(new, dtype=x.dtype).view_as(image[c])
        values.append(sum(k * q for k, q in zip(*pooled, strict=True)) / len(flat))
    return y, values


@pytest.mark.parametrize("mode", ACM_MODES)
@pytest.mark.parametrize("centre_kq", [True, False])
def test_equals_a_slow_loop_over_the_formulas(mode: str, centre_kq: bool) -> None:
    module, x = small(mode, centre_kq), features(2, 8, 3, 2)
    expected, values = slow_acm(x, module)
    assert torch.allclose(module(x), expected, atol=1e-12)
    if mode in ("full", "x_plus_kq"):
        assert module.last_orthogonality is not None
        assert module.last_orthogonality.tolist() == pytest.approx(values, abs=1e-12)
    else:
        assert module.last_orthogonality is None


def test_has_3008_parameters_at_256_channels() -> None:
    assert sum(p.numel() for p in AttendCompare(256).parameters()) == 3008


@pytest.mark.parametrize(("channels", "groups"), [(256, 8), (512, 32), (1024, 64), (2048, 128)])
def test_number_of_parameters_follows_the_formula(channels: int, groups: int) -> None:
    module = AttendCompare(channels, groups=groups)
    expected = channels**2 / groups + 3.5 * channels + 2 * groups
    assert sum(p.numel() for p in module.parameters()) == expected


def test_modes_create_only_the_parts_they_use() -> None:
    parts = {mode: {name for name, _ in AttendCompare(64, mode=mode).named_children()} for mode in ACM_MODES}
    gate = {"gate_reduce", "gate_expand"}
    assert parts["full"] == {"key_map", "query_map"} | gate
    assert parts["x_plus_kq"] == {"key_map", "query_map"}
    assert parts["px"] == gate
    assert parts["p_x_plus_k"] == {"key_map"} | gate


def test_keeps_the_shape_and_gives_one_orthogonality_value_per_image() -> None:
    module = AttendCompare(256)
    assert module.last_orthogonality is None
    assert module(torch.randn(5, 256, 20, 20)).shape == (5, 256, 20, 20)
    assert module.last_orthogonality is not None
    assert module.last_orthogonality.shape == (5,)


@pytest.mark.parametrize(("channels", "hidden"), [(160, 96), (224, 128), (256, 128), (992, 512)])
def test_widths_that_the_reduction_does_not_divide_get_a_wider_gate(channels: int, hidden: int) -> None:
    module = AttendCompare(channels)
    assert module.gate_reduce is not None
    assert module.gate_reduce.out_channels == hidden
    assert module(torch.randn(1, channels, 2, 2)).shape == (1, channels, 2, 2)


def test_initial_weights_have_the_authors_spread_and_biases_are_zero() -> None:
    torch.manual_seed(0)
    module = AttendCompare(8192)
    assert module.key_map is not None
    assert module.key_map.weight.std().item() == pytest.approx(math.sqrt(2 / 32), rel=0.05)
    assert all(not bias.any() for name, bias in module.named_parameters() if name.endswith("bias"))


@given(batch=st.integers(1, 3), height=st.integers(1, 5), width=st.integers(1, 5), seed=st.integers(0, 2**31 - 1))
@settings(max_examples=25, deadline=None)
def test_permuting_positions_permutes_the_output(batch: int, height: int, width: int, seed: int) -> None:
    module, x = small(), features(batch, 8, height, width, seed=seed)
    order = torch.randperm(height * width, generator=torch.Generator().manual_seed(seed))

    def permuted(t: Tensor) -> Tensor:
        return t.flatten(2)[:, :, order].view_as(t)

    y = module(x)
    value = module.last_orthogonality
    assert torch.allclose(module(permuted(x)), permuted(y), atol=1e-12)
    assert torch.allclose(module.last_orthogonality, value, atol=1e-12)


def gate_alone(module: AttendCompare, x: Tensor) -> Tensor:
    only = AttendCompare(module.channels, groups=module.groups, mode="px").to(x.dtype)
    only.load_state_dict({k: v for k, v in module.state_dict().items() if k.startswith("gate")})
    return only(x)


def test_a_constant_image_is_only_gated() -> None:
    module = small()
    x = features(2, 8, 1, 1).expand(2, 8, 4, 3)
    assert torch.allclose(module(x), gate_alone(module, x), atol=1e-12)
    assert torch.allclose(module.last_orthogonality, torch.zeros(2, dtype=x.dtype), atol=1e-12)


def test_a_single_position_is_only_gated() -> None:
    module, x = small(), features(3, 8, 1, 1)
    assert torch.equal(module(x), gate_alone(module, x))
    assert not module.last_orthogonality.any()


def test_exchanging_the_maps_flips_the_added_term_and_keeps_the_orthogonality() -> None:
    module, x = small("x_plus_kq"), features(2, 8, 4, 4)
    added, value = module(x) - x, module.last_orthogonality
    module.key_map, module.query_map = module.query_map, module.key_map
    assert torch.allclose(module(x) - x, -added, atol=1e-12)
    assert added.abs().max() > 0.1
    assert torch.allclose(module.last_orthogonality, value, atol=1e-12)


def test_zero_map_weights_attend_uniformly() -> None:
    module, x = small(), features(2, 8, 3, 5)
    for conv in (module.key_map, module.query_map):
        nn.init.zeros_(conv.weight)
    for attention in module.attention_maps(x).values():
        assert torch.allclose(attention, torch.full_like(attention, 1 / 15))
    assert torch.allclose(module(x), gate_alone(module, x), atol=1e-12)
    assert module.last_orthogonality.abs().max() < 1e-12


def test_centring_changes_the_orthogonality_but_not_the_output() -> None:
    centred, plain = small(centre_kq=True), small(centre_kq=False)
    x = features(2, 8, 4, 4) + 3
    assert torch.allclose(centred(x), plain(x), atol=1e-12)
    assert (centred.last_orthogonality - plain.last_orthogonality).abs().min() > 1


def test_biases_of_the_maps_have_no_gradient() -> None:
    module, x = small(), features(2, 8, 4, 4)
    (module(x).square().sum() + module.last_orthogonality.sum()).backward()
    for conv in (module.key_map, module.query_map):
        assert conv.bias.grad.abs().max() < 1e-10
        assert conv.weight.grad.abs().max() > 1e-3


def test_gradients_equal_finite_differences() -> None:
    module = small(channels=4)
    module.requires_grad_(False)

    def outputs(x: Tensor) -> tuple[Tensor, Tensor]:
        y = module(x)
        assert module.last_orthogonality is not None
        return y, module.last_orthogonality

    assert torch.autograd.gradcheck(outputs, features(2, 4, 2, 3).requires_grad_())


def test_attention_maps_sum_to_one_per_group() -> None:
    module = AttendCompare(64, groups=16)
    maps = module.attention_maps(torch.randn(3, 64, 7, 4))
    assert set(maps) == {"key", "query"}
    for attention in maps.values():
        assert attention.shape == (3, 16, 7, 4)
        assert torch.allclose(attention.sum(dim=(2, 3)), torch.ones(3, 16), atol=1e-5)


def test_attention_maps_are_those_of_the_mode() -> None:
    x = torch.randn(1, 64, 2, 2)
    assert set(AttendCompare(64, mode="p_x_plus_k").attention_maps(x)) == {"key"}
    assert AttendCompare(64, mode="px").attention_maps(x) == {}


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_extreme_inputs_stay_finite(scale: float) -> None:
    module = AttendCompare(64)
    x = (torch.randn(2, 64, 6, 6) * scale).requires_grad_()
    y = module(x)
    (y.sum() + module.last_orthogonality.sum()).backward()
    for tensor in (y, module.last_orthogonality, x.grad, module.key_map.weight.grad):
        assert tensor.isfinite().all()


def test_key_query_and_orthogonality_are_computed_in_float32_under_autocast() -> None:
    module = AttendCompare(64)
    x = torch.randn(2, 64, 8, 8).bfloat16()
    module(x.float())
    exact = module.last_orthogonality
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = module(x)
        maps = module.attention_maps(x)
    assert y.dtype == torch.bfloat16
    assert maps["key"].dtype == torch.float32
    assert module.last_orthogonality.dtype == torch.float32
    assert torch.equal(module.last_orthogonality, exact)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_module_of_half_precision_keeps_its_type(dtype: torch.dtype) -> None:
    module = AttendCompare(64)
    x = torch.randn(2, 64, 8, 8)
    expected = module(x)
    y = module.to(dtype)(x.to(dtype))
    assert y.dtype == dtype
    assert torch.allclose(y.float(), expected, atol=0.1)
    assert module.last_orthogonality.dtype == torch.float32


def test_the_orthogonality_is_no_state_and_hinders_neither_copies_nor_pickles() -> None:
    module = AttendCompare(64)
    module(torch.randn(2, 64, 3, 3))
    assert module.last_orthogonality.requires_grad
    assert not any("orthogonality" in name for name in module.state_dict())
    assert copy.deepcopy(module).last_orthogonality is None
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=False).last_orthogonality is None
    assert module.last_orthogonality is not None


def test_the_orthogonality_is_cleared_when_a_forward_starts() -> None:
    module = AttendCompare(64)
    module(torch.randn(1, 64, 3, 3))
    with pytest.raises(RuntimeError, match="channels"):
        module(torch.randn(1, 32, 3, 3))
    assert module.last_orthogonality is None


def test_taking_the_orthogonality_stacks_modules_and_lets_them_forget() -> None:
    modules = [AttendCompare(64), AttendCompare(64, mode="px"), AttendCompare(64)]
    x = torch.randn(2, 64, 3, 3)
    for module in modules:
        module(x)
    expected = [modules[0].last_orthogonality, torch.zeros(2), modules[2].last_orthogonality]
    taken = take_orthogonality(modules, like=x)
    assert torch.equal(taken, torch.stack(expected, dim=1))
    assert all(module.last_orthogonality is None for module in modules)
    assert take_orthogonality([], like=x).shape == (2, 0)


def gradients(module: AttendCompare, x: Tensor, checkpointed: bool) -> list[Tensor]:
    module.zero_grad()
    module.records_orthogonality = True
    y = checkpoint(module, x, use_reentrant=False) if checkpointed else module(x)
    (y.square().mean() + take_orthogonality([module], like=y).sum()).backward()
    return [parameter.grad.clone() for parameter in module.parameters()]


def test_gradient_checkpointing_gives_the_same_gradients_and_keeps_nothing_alive() -> None:
    module, x = small(), features(2, 8, 4, 4).requires_grad_()
    plain = gradients(module, x, checkpointed=False)
    again = gradients(module, x, checkpointed=True)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(plain, again, strict=True))
    assert module.last_orthogonality is None


def test_can_be_traced_and_exported() -> None:
    module, x = AttendCompare(64).eval(), torch.randn(2, 64, 4, 4)
    expected = module(x)
    assert torch.allclose(torch.jit.trace(module, x)(x), expected, atol=1e-6)
    module.last_orthogonality = None
    assert torch.allclose(torch.export.export(module, (x,)).module()(x), expected, atol=1e-6)
    assert module.last_orthogonality is None


@pytest.mark.parametrize(
    ("channels", "options", "message"),
    [
        (100, {}, "multiple of groups=32, found 100"),
        (0, {}, "multiple of groups=32, found 0"),
        (64, {"groups": 0}, "at least 1, found 0 and 2"),
        (64, {"reduction": 0}, "at least 1, found 32 and 0"),
        (64, {"mode": "kq"}, "full, x_plus_kq, px, p_x_plus_k, found 'kq'"),
    ],
)
def test_wrong_arguments_are_refused(channels: int, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AttendCompare(channels, **options)
