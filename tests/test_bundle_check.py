from __future__ import annotations

import json
import shutil

import pytest
import yaml

from medpipe.bundle_check import (
    _is_plain_expression,
    check_bundle,
    metadata_schema,
    require_trust,
    static_findings,
)
from medpipe.bundles import Bundle, find_bundle, list_bundles
from medpipe.errors import UntrustedBundleError


@pytest.fixture
def copy(tmp_path) -> Bundle:
    source = find_bundle("cxr_pneumothorax_acm")
    shutil.copytree(source.root, tmp_path / source.name)
    return Bundle(tmp_path / source.name)


def change(bundle: Bundle, **values) -> None:
    path = bundle.root / "configs" / "inference.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **values}))


@pytest.mark.parametrize("bundle", list_bundles(), ids=lambda bundle: bundle.name)
def test_our_bundles_are_sound(bundle) -> None:
    assert [finding for finding in check_bundle(bundle) if finding.severity != "note"] == []


@pytest.fixture
def schema(tmp_path) -> str:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(metadata_schema()))
    return str(path)  # an existing schema file is not fetched


@pytest.mark.parametrize("bundle", list_bundles(), ids=lambda bundle: bundle.name)
def test_monais_metadata_check_passes_and_would_tell_a_wrong_version(bundle, schema, tmp_path) -> None:
    from monai.bundle import verify_metadata

    verify_metadata(meta_file=str(bundle.root / "configs/metadata.json"), filepath=schema)
    (tmp_path / "metadata.json").write_text(json.dumps(bundle.metadata() | {"version": 7}))
    with pytest.raises(ValueError, match="7 is not of type 'string'"):
        verify_metadata(meta_file=str(tmp_path / "metadata.json"), filepath=schema)


def _of_one_input() -> list[Bundle]:
    """MONAI's check of networks cannot give them several inputs."""
    return [bundle for bundle in list_bundles() if len(bundle.metadata()["network_data_format"]["inputs"]) == 1]


@pytest.mark.parametrize("bundle", _of_one_input(), ids=lambda bundle: bundle.name)
def test_monais_network_check_passes_and_would_tell_other_channels(bundle, tmp_path) -> None:
    from monai.bundle import verify_net_in_out

    options = {"config_file": str(bundle.root / "configs/inference.yaml"), "device": "cpu"}
    verify_net_in_out("network_def", meta_file=str(bundle.root / "configs/metadata.json"), **options)
    metadata = bundle.metadata()
    metadata["network_data_format"]["outputs"]["pred"]["num_channels"] += 1
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="channel"):
        verify_net_in_out("network_def", meta_file=str(tmp_path / "metadata.json"), **options)


@pytest.mark.parametrize(
    "text",
    [
        "$__import__('os').system('touch canary')",
        "$().__class__.__base__.__subclasses__()",
        "$[c for c in (1,)]",
        "$(lambda: 1)()",
        "$import os",
        "$import subprocess",
        "$open('/etc/passwd').read()",
        "$torch.load('x')",
        "$torch.hub.load('a', 'b')",
        "$exec('1')",
        "$sys.modules['os'].system('x')",
        "$sys['os'].system('x')",
        "$@a[torch.hub]",
        "$@a.b['c']",
        "$@network.__class__",
        "$getattr(torch, 'load')('x')",
        "$eval('1')",
        "%/etc/passwd",
    ],
)
def test_an_expression_outside_the_allow_list_is_listed(copy, text) -> None:
    change(copy, canary=text)
    assert [finding.place for finding in static_findings(copy)] == ["configs/inference.yaml canary"]
    with pytest.raises(UntrustedBundleError, match="--trust"):
        require_trust(copy, trust=False)
    require_trust(copy, trust=True)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.run",
        "monai.utils.run_cmd",
        "monai.apps.download_url",
        "torch.load",
        "builtins.eval",
        "medpipe.bundles.os.system",
        "medpipe.reports.page.io.open",
        "monai.data.utils.os.system",
        "medpipe.io.atomic.write_bytes",
        "medpipe.engines.nothing",
    ],
)
def test_a_target_outside_the_allow_list_is_listed(copy, target) -> None:
    change(copy, canary={"deep": [{"_target_": target}]})
    (finding,) = static_findings(copy)
    assert (finding.severity, finding.message) == ("code", f"calls {target}")


@pytest.mark.parametrize(
    "text",
    [
        "@a + 1",
        "len(@a#b)",
        "1 / 32",
        "torch.device('cpu')",
        "@net.to(@device)",
        "@trained['hidden']",
        "@pair[0]",
        "import torch, sys",
        "'x' if @a else None",
    ],
)
def test_harmless_expressions_pass(text) -> None:
    assert _is_plain_expression(text)


def test_code_in_the_metadata_is_listed_too(copy) -> None:
    path = copy.root / "configs" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "x": "$__import__('os').system('touch canary')"}))
    with pytest.raises(UntrustedBundleError, match="metadata.json x"):
        require_trust(copy, trust=False)


def test_an_unchanged_copy_needs_no_trust(copy) -> None:
    require_trust(copy, trust=False)
    assert [finding for finding in static_findings(copy) if finding.severity == "code"] == []


def test_a_metadata_mistake_is_named(copy) -> None:
    path = copy.root / "configs" / "metadata.json"
    content = json.loads(path.read_text())
    del content["network_data_format"]
    content["version"] = "9.9.9"
    path.write_text(json.dumps(content))
    messages = " ".join(f"{finding.place} {finding.message}" for finding in check_bundle(copy))
    assert "'network_data_format' is a required property" in messages
    assert "does not list the present version" in messages


def test_networks_that_differ_between_training_and_inference_are_an_error(copy) -> None:
    change(copy, network_def={"_target_": "medpipe.networks.acm.ContextLocalizer", "backbone": "resnet18"})
    assert any("differs between train.yaml and inference.yaml" in finding.message for finding in check_bundle(copy))


def test_python_inside_a_bundle_is_listed(copy) -> None:
    (copy.root / "scripts").mkdir()
    (copy.root / "scripts" / "net.py").write_text("1")
    assert any(finding.place == "scripts/net.py" for finding in check_bundle(copy))
