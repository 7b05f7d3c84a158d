"""What all context blocks share: constructor, shape, gradient, precision, saving, refusals."""

from __future__ import annotations

import inspect
import io

import pytest
import torch

from medpipe.networks.blocks import CONTEXT_BLOCKS, AttendCompare, context_block

NAMES = list(CONTEXT_BLOCKS)


def test_lists_the_seven_blocks() -> None:
    assert set(NAMES) == {"acm", "se", "srm", "cbam", "nl", "gc", "cc"}


@pytest.mark.parametrize("name", NAMES)
def test_takes_channels_and_then_keywords_with_defaults(name: str) -> None:
    channels, *options = inspect.signature(CONTEXT_BLOCKS[name]).parameters.values()
    assert channels.name == "channels"
    assert all(option.kind is inspect.Parameter.KEYWORD_ONLY for option in options)
    assert all(option.default is not inspect.Parameter.empty for option in options)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2, 64, 5, 7), (2, 160, 1, 1), (2, 32, 1, 6)])
def test_keeps_the_shape_and_passes_a_gradient(name: str, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, requires_grad=True)
    y = context_block(name, shape[1])(x)
    assert y.shape == shape
    y.square().sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.any()


@pytest.mark.parametrize("name", NAMES)
def test_runs_under_autocast_without_widening_half_precision(name: str) -> None:
    block = context_block(name, 64).eval()
    x = torch.randn(2, 64, 6, 6).bfloat16()
    with torch.no_grad():
        expected = block(x.float())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = block(x)
    assert y.dtype == torch.bfloat16
    assert torch.allclose(y.float(), expected, atol=0.1, rtol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_saves_and_loads(name: str) -> None:
    block, other = context_block(name, 64).eval(), context_block(name, 64).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(std=0.2)
    buffer = io.BytesIO()
    torch.save(block.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    x = torch.randn(2, 64, 4, 4)
    assert torch.equal(other(x), block(x))
    assert not torch.equal(block(x), x)


def test_options_reach_the_block() -> None:
    block = context_block("acm", 64, groups=8, mode="px")
    assert isinstance(block, AttendCompare)
    assert (block.groups, block.mode) == (8, "px")


def test_an_unknown_name_is_refused_with_the_valid_and_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'cbma'.*acm, se, srm, cbam, nl, gc, cc; did you mean 'cbam'"):
        context_block("cbma", 64)


def test_an_unknown_option_is_refused_with_the_valid_and_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'group'.*groups, reduction, centre_kq, mode; did you mean 'groups'"):
        context_block("acm", 64, group=8)
    with pytest.raises(ValueError, match="'groups'"):
        context_block("se", 64, groups=8)
