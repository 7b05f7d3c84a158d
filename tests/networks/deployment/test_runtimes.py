from __future__ import annotations

import hashlib
import pickle

import pytest
import torch
from torch import nn

from medpipe.errors import RequestError
from medpipe.networks.acm import ContextLocalizer
from medpipe.networks.deployment import packages
from medpipe.networks.deployment.formats import export_network
from medpipe.networks.deployment.onnx_network import OnnxNetwork
from medpipe.networks.deployment.runtimes import load_network, runtime_identity
from medpipe.networks.deployment.signature import Signature


def network() -> ContextLocalizer:
    return ContextLocalizer("resnet11_quarter", "none", output_stride=16, zero_init_last=False).eval()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(weights, exported file) of one network, and the network."""
    folder = tmp_path_factory.mktemp("exported")
    torch.manual_seed(0)
    source = network()
    torch.save(source.state_dict(), folder / "model.pt")
    signature = Signature({"image": (1, 32, 32)}, ("pred",), dynamic_batch=True)
    facts = {"weights_sha256": hashlib.sha256((folder / "model.pt").read_bytes()).hexdigest()}
    exported = export_network(source, signature, "onnx", realistic={}, facts=facts)
    (folder / "model.onnx").write_bytes(exported.files[".onnx"])
    return folder / "model.pt", folder / "model.onnx", source


def test_onnx_runtime_gives_torchs_numbers_and_so_does_a_copy_in_another_process(made) -> None:
    weights, exported, source = made
    images = torch.rand(3, 1, 32, 32)
    there = load_network(network(), weights, runtime="onnx", exported=exported, image_size=32, threads=2)
    assert not there.training
    assert there.threads == 2
    copied = pickle.loads(pickle.dumps(there))
    with torch.no_grad():
        expected = source(images)
    for found in (there(images), copied(images)):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_torch_is_the_default_and_loads_the_weights(made) -> None:
    weights, _, source = made
    found = load_network(network(), weights)
    assert isinstance(found, ContextLocalizer)
    assert torch.equal(found.head.weight, source.head.weight)


def test_the_identity_of_a_run_names_the_runtime_and_the_file(made) -> None:
    _, exported, _ = made
    assert runtime_identity() == {"name": "torch"}
    found = runtime_identity("onnx", exported)
    assert found["name"] == "onnx"
    assert found["exported_sha256"] == hashlib.sha256(exported.read_bytes()).hexdigest()


def test_a_file_of_other_weights_is_refused(made, tmp_path) -> None:
    torch.save(network().state_dict(), tmp_path / "other.pt")
    with pytest.raises(RequestError, match="was not exported with the weights"):
        load_network(network(), tmp_path / "other.pt", runtime="onnx", exported=made[1])


def test_a_file_for_another_size_is_refused(made) -> None:
    with pytest.raises(RequestError, match="takes images of 32 x 32, and this run has 64 x 64"):
        load_network(network(), made[0], runtime="onnx", exported=made[1], image_size=64)


def test_a_file_that_is_missing_or_damaged_is_refused(made, tmp_path) -> None:
    (tmp_path / "damaged.onnx").write_bytes(made[1].read_bytes()[:5000])
    for exported, message in [
        (None, "exported=FILE"),
        (tmp_path / "none.onnx", "cannot be read"),
        (tmp_path / "damaged.onnx", "does not take the file"),
    ]:
        with pytest.raises(RequestError, match=message):
            load_network(network(), made[0], runtime="onnx", exported=exported)


class Scaled(nn.Module):
    """An image times a number of a table; the other image is not looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 1)

    def forward(self, word, image, other):
        return image * self.table(word)[..., None]


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """(weights, exported file) of a network of a word and two images, and the network."""
    folder = tmp_path_factory.mktemp("several")
    torch.manual_seed(0)
    source = Scaled().eval()
    torch.save(source.state_dict(), folder / "model.pt")
    shapes = {"word": (1,), "image": (1, 4, 4), "other": (3, 6, 6)}
    signature = Signature(shapes, ("pred",), dynamic_batch=True, whole={"word": 5})
    facts = {"weights_sha256": hashlib.sha256((folder / "model.pt").read_bytes()).hexdigest()}
    exported = export_network(source, signature, "onnx", realistic={}, facts=facts)
    (folder / "model.onnx").write_bytes(exported.files[".onnx"])
    return folder / "model.pt", folder / "model.onnx", source


def test_whole_numbers_and_several_images_are_taken_and_none_for_one_that_is_not_looked_at(several) -> None:
    weights, exported, source = several
    there = load_network(
        Scaled(), weights, runtime="onnx", exported=exported, image_size={"image": 4, "other": [3, 6, 6]}
    )
    words, images = torch.tensor([[4], [0]]), torch.rand(2, 1, 4, 4)
    with torch.no_grad():
        expected = source(words, images, None)
    assert torch.equal(there(words, images, torch.rand(2, 3, 6, 6)), expected)
    assert torch.equal(there(words, images, None), expected)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"image": 5}, "takes 'image' of 4 x 4, and this run has 5 x 5"),
        ({"other": [1, 6, 6]}, "takes 'other' of 3 x 6 x 6, and this run has 1 x 6 x 6"),
        ({"third": 4}, "takes word, image, other, and no image 'third'"),
        (4, "takes 3 inputs; expected a network of one image"),
        (None, "takes 3 inputs; expected a network of one image"),
    ],
)
def test_a_file_of_other_images_is_refused(several, sizes, message) -> None:
    weights, exported, _ = several
    with pytest.raises(RequestError, match=message):
        load_network(Scaled(), weights, runtime="onnx", exported=exported, image_size=sizes)


def test_a_missing_package_is_named_with_its_extra(made, monkeypatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    for call in (lambda: OnnxNetwork(made[1]), lambda: runtime_identity("onnx", made[1])):
        with pytest.raises(RequestError, match=r"onnxruntime not installed: pip install 'medpipe\[onnx\]'"):
            call()


def test_a_file_without_its_runtime_is_refused(made) -> None:
    with pytest.raises(RequestError, match="goes with runtime onnx"):
        load_network(network(), made[0], exported=made[1])


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"attention": "san"}, "does not say its attention; export the bundle again"),
        ({"bundle": "b"}, "was exported with bundle a, and this run has b"),
    ],
)
def test_a_file_that_was_exported_with_other_options_is_refused(made, tmp_path, facts, message) -> None:
    import onnx

    model = onnx.load(made[1])
    onnx.helper.set_model_props(model, {**{item.key: item.value for item in model.metadata_props}, "bundle": "a"})
    onnx.save(model, tmp_path / "named.onnx")
    with pytest.raises(RequestError, match=message):
        load_network(network(), made[0], runtime="onnx", exported=tmp_path / "named.onnx", facts=facts)


def test_an_unknown_runtime_is_refused(made) -> None:
    with pytest.raises(ValueError, match="torch, onnx"):
        load_network(network(), made[0], runtime="tensorrt")
