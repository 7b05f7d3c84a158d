from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medpipe.errors import RequestError
from medpipe.networks.acm import ContextLocalizer
from medpipe.networks.blocks import CONTEXT_BLOCKS, context_block
from medpipe.networks.blocks.coarse import CoarseRegistration
from medpipe.networks.blocks.subpixel import optimize_for_inference
from medpipe.networks.deployment import packages
from medpipe.networks.deployment.capture import without_volume_sampler
from medpipe.networks.deployment.formats import FORMATS, export_network
from medpipe.networks.deployment.signature import Signature
from medpipe.networks.ldr import LDR
from medpipe.networks.rcn import RCN

FACTS = {"bundle": "somewhere", "notice": "Not a medical device."}


def localizer(context: str) -> ContextLocalizer:
    torch.manual_seed(0)
    options = {"groups": 4} if context == "acm" else None
    return ContextLocalizer(
        "resnet11_quarter", context, context_args=options, output_stride=16, zero_init_last=False
    ).eval()


def moving(network: nn.Module) -> nn.Module:
    """The network with fields of some voxels; untrained ones hardly move anything."""
    for name, weight in network.named_parameters():
        if name.endswith(("flow.weight", "upsamp1to0.weight")):
            nn.init.normal_(weight, std=0.1)
        elif name.endswith(("conv7_W.weight", "conv7_b.weight")):
            nn.init.normal_(weight, std=0.03)
    return network.eval()


def pair(size: int) -> Signature:
    return Signature({"fixed": (1, *[size] * 3), "moving": (1, *[size] * 3)}, ("warped", "field"), dynamic_batch=False)


def picture(size: int) -> Signature:
    return Signature({"image": (1, size, size)}, ("pred",), dynamic_batch=True)


class SideBySide(nn.Module):
    """Every context block on the same features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 3, padding=1)
        self.blocks = nn.ModuleDict(
            {name: context_block(name, 32, **({"groups": 4} if name == "acm" else {})) for name in CONTEXT_BLOCKS}
        )
        for weight in self.blocks.parameters():  # some start as identity
            nn.init.normal_(weight, std=0.3)

    def forward(self, image):
        features = self.stem(image)
        return tuple(block(features) for block in self.blocks.values())


def test_onnx_equals_torch_with_every_context_block() -> None:
    torch.manual_seed(0)
    signature = Signature({"image": (1, 12, 12)}, tuple(CONTEXT_BLOCKS), dynamic_batch=True)
    found = export_network(SideBySide().eval(), signature, "onnx", realistic={}, facts={}).differences
    assert [item.case for item in found if item.output == "acm"] == ["random 1", "random 2", "random batch of 3"]
    assert {item.output for item in found} == set(CONTEXT_BLOCKS)
    assert all(item.scale > 0.1 and item.largest < 2e-5 * max(1, item.scale) for item in found)


@pytest.mark.parametrize("context", ["none"])
def test_onnx_equals_torch_with_whole_localizers(context) -> None:
    found = export_network(localizer(context), picture(32), "onnx", realistic={}, facts={}).differences
    assert all(item.scale > 0.01 and item.largest < 1e-5 for item in found)


STUDENTS = {
    "paper": (32, {"initial": "none", "n_cascades": 2, "channels": 4}),
    "shared": (16, {"initial": "ldr_shared", "channels": 4}),
    "code with affine": (48, {"variant": "code", "channels": 2}),
    "half": (48, {"half_resolution": True, "channels": 2}),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("paper", "onnx"),
        ("paper", "openvino"),
        ("code with affine", "onnx"),
        ("half", "torch-export"),
        ("shared", "torch-export"),
    ],
)
def test_students_equal_torch(name, kind) -> None:
    torch.manual_seed(1)
    size, options = STUDENTS[name]
    found = export_network(moving(LDR(size, **options)), pair(size), kind, realistic={}, facts={}).differences
    assert {item.output for item in found} == {"warped", "field"}
    assert min(item.scale for item in found if item.output == "field") > 0.3
    assert max(item.largest for item in found) < 2e-5


@pytest.mark.parametrize(
    ("build", "size", "kind"),
    [
        (lambda: RCN(64, n_cascades=1, base="voxelmorph", channels=2), 64, "torch-export"),
        (lambda: CoarseRegistration(LDR(16, initial="none", channels=4)), 32, "torch-export"),
    ],
    ids=["teacher", "half the size"],
)
def test_teacher_and_coarse_registration_equal_torch(build, size, kind) -> None:
    torch.manual_seed(4)
    found = export_network(moving(build()), pair(size), kind, realistic={}, facts={}).differences
    assert all(item.within(2e-5) for item in found)
    assert min(item.scale for item in found if item.output == "field") > 0.1


def test_a_network_with_passes_of_its_own_is_exported_without_them_and_is_left_as_it_was() -> None:
    torch.manual_seed(2)
    fast = optimize_for_inference(moving(LDR(16, initial="none", channels=4)))
    names = {name: type(module) for name, module in fast.named_modules()}
    found = export_network(fast, pair(16), "torch-export", realistic={}, facts={}).differences
    assert max(item.largest for item in found) < 1e-4
    assert fast.fused
    assert {name: type(module) for name, module in fast.named_modules()} == names


class Sampler(nn.Module):
    def forward(self, image, grid):
        return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)


@pytest.mark.parametrize("sizes", [(5, 4, 3), (1, 6, 2), (2, 2, 2)])
def test_volumes_fetched_by_index_are_those_that_torch_samples(sizes) -> None:
    torch.manual_seed(3)
    image, grid = torch.randn(2, 3, *sizes), torch.rand(2, 4, 5, 6, 3) * 3 - 1.5
    edges = torch.tensor([-1.0, 1.0, 0.0]).view(1, 3, 1, 1, 1).expand(2, 3, 5, 6, 3)
    grid = torch.cat([grid, edges], dim=1)
    program = without_volume_sampler(torch.export.export(Sampler(), (image, grid)))
    assert not [node for node in program.graph.nodes if "grid_sampler" in str(node.target)]
    torch.testing.assert_close(program.module()(image, grid), Sampler()(image, grid), atol=2e-6, rtol=1e-5)


def facts_in(kind, files) -> dict[str, str]:
    if kind == "onnx":
        import onnx

        return {item.key: item.value for item in onnx.load_from_string(files[".onnx"]).metadata_props}
    if kind == "torch-export":
        extra = {"medpipe.json": ""}
        torch.export.load(io.BytesIO(files[".pt2"]), extra_files=extra)
        return json.loads(extra["medpipe.json"])
    import openvino

    model = openvino.Core().read_model(files[".xml"], files[".bin"])
    return {key: model.get_rt_info(["medpipe", key]).astype(str) for key in model.get_rt_info()["medpipe"]}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_says_what_it_is_and_how_it_was_checked_and_names_no_folder(kind) -> None:
    exported = export_network(nn.Conv2d(1, 1, 3).eval(), picture(8), kind, realistic={}, facts=FACTS, tolerance=2e-4)
    told = facts_in(kind, exported.files)
    assert told == exported.facts
    assert told["notice"] == FACTS["notice"]
    assert told["tolerance"] == "0.0002"
    assert [item["case"] for item in json.loads(told["differences"])] == ["random 1", "random 2", "random batch of 3"]
    assert not any(__file__.rpartition("/tests/")[0].encode() in content for content in exported.files.values())


def test_inputs_and_outputs_have_their_names_and_any_batch() -> None:
    import onnxruntime

    network = nn.Conv2d(1, 2, 3, stride=2, padding=1).eval()
    exported = export_network(network, picture(32), "onnx", realistic={}, facts={})
    session = onnxruntime.InferenceSession(exported.files[".onnx"], providers=["CPUExecutionProvider"])
    assert [(value.name, value.shape) for value in session.get_inputs()] == [("image", ["batch", 1, 32, 32])]
    assert [(value.name, value.shape) for value in session.get_outputs()] == [("pred", ["batch", 2, 16, 16])]
    assert session.run(None, {"image": np.zeros((5, 1, 32, 32), np.float32)})[0].shape == (5, 2, 16, 16)


class Another(nn.Module):
    """Gives other numbers, or none, once it is exported."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.layer = nn.Conv2d(1, 1, 1)

    def forward(self, image):
        return self.layer(image) * (self.factor if torch.compiler.is_exporting() else 1.0)


@pytest.mark.parametrize("factor", [1.001, float("nan"), float("inf")])
def test_a_network_that_is_another_once_exported_is_refused(factor) -> None:
    with pytest.raises(RequestError, match=r"pred on random 1 by .* more than the tolerance of 0\.0001; no file"):
        export_network(Another(factor).eval(), picture(8), "torch-export", realistic={}, facts={})


def test_the_tolerance_decides_and_realistic_inputs_count() -> None:
    network = Another(1.001).eval()
    export_network(network, picture(8), "torch-export", realistic={}, facts={}, tolerance=0.01)
    large = {"large": [torch.full((1, 1, 8, 8), 1e30)]}
    found = export_network(network, picture(8), "torch-export", realistic=large, facts={}, tolerance=0.01).differences
    assert found[-1].case == "large"
    assert found[-1].largest > 1e20


@pytest.mark.parametrize(("kind", "extra"), [("onnx", "onnx"), ("openvino", "openvino")])
def test_a_missing_package_is_named_with_its_extra(kind, extra, monkeypatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=rf"pip install 'medpipe\[{extra}\]'"):
        export_network(nn.Identity(), picture(8), kind, realistic={}, facts={})


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(RequestError, match="'tflite' is none of onnx, torch-export, openvino"):
        export_network(nn.Identity(), picture(8), "tflite", realistic={}, facts={})
