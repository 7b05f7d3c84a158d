from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from medpipe.bundles import _fire, absolute, find_bundle, list_bundles, monai_command, parse_overrides, read_config
from medpipe.errors import RequestError

CONFIG = {"lr": 0.1, "optimizer": {"_target_": "x", "lr": 1, "params": None}, "steps": [{"name": "a"}, {"name": "b"}]}


def test_values_are_yaml() -> None:
    texts = ["lr=1e-3", "optimizer.params=[1, 2]", "steps.0.name=50", "optimizer.lr=3"]
    assert parse_overrides(texts, CONFIG) == {
        "lr": 0.001,
        "optimizer::params": [1, 2],
        "steps::0::name": "50",
        "optimizer::lr": 3,
    }


def test_monai_separators_do_as_well() -> None:
    assert (
        parse_overrides(["optimizer#lr=2"], CONFIG)
        == parse_overrides(["optimizer::lr=2"], CONFIG)
        == {"optimizer::lr": 2}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lrr=1", "no 'lrr'; did you mean lr"),
        ("optimizer.lrr=1", "did you mean optimizer.lr"),
        ("zzzz=1", "the config has lr, optimizer, steps"),
        ("optimizer._target_=os.system", "no 'optimizer._target_'"),
        ("steps.2.name=c", "no 'steps.2.name'"),
        ("lr", "key=value"),
        ("=3", "key=value"),
        ("lr=[1", "not valid YAML"),
        ("lr=high", "'lr=high' must be a number; the default is 0.1"),
        ("lr=true", "must be a number"),
        ("lr=null", "has no value"),
        ("optimizer.lr=1.5", "must be a whole number"),
        ("steps=a", "must be a list"),
        ("optimizer=3", "must be a mapping"),
    ],
)
def test_a_wrong_override_is_refused_with_the_nearest_name(text, message) -> None:
    with pytest.raises(RequestError, match=message.replace(".", r"\.")):
        parse_overrides([text], CONFIG)


@given(
    st.one_of(
        st.text(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.booleans(),
        st.lists(st.text()),
        st.none(),
    )
)
@example("a,b")
@example("model#2.pt")
@example("1234")
@example("/data/2026-01-01")
@example("['a']")
def test_fire_reads_back_what_the_command_says(value) -> None:
    from fire.parser import DefaultParseValue

    assert DefaultParseValue(_fire(value)) == value


@pytest.mark.parametrize("name", ["in#1", "a::b"])
def test_a_path_that_monai_would_change_is_refused(name) -> None:
    with pytest.raises(RequestError, match="rename it"):
        absolute([name])


def test_an_unknown_bundle_names_the_nearest() -> None:
    with pytest.raises(RequestError, match="did you mean cxr_pneumothorax_acm"):
        find_bundle("cxr_pneumothorax_amc")


def test_bundles_are_found_by_name_and_by_folder() -> None:
    (bundle, *_) = list_bundles()
    assert find_bundle(bundle.name).root == bundle.root
    assert find_bundle(str(bundle.root)).root == bundle.root.resolve()


def test_a_config_error_names_file_and_line(tmp_path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("a: 1\nb: [1, 2\nc: 3\n")
    with pytest.raises(RequestError, match=r"train.yaml', line 3"):
        read_config(path)
    path.write_text(yaml.safe_dump([1, 2]))
    with pytest.raises(RequestError, match="mapping of names"):
        read_config(path)


def test_the_printed_command_names_every_file_and_override() -> None:
    command = monai_command(find_bundle("cxr_pneumothorax_acm"), "evaluate", {"dataset_dir": "/a b", "image_size": 64})
    for part in (
        "monai.bundle run",
        "inference.yaml",
        "evaluate.yaml",
        "metadata.json",
        "'--dataset_dir=/a b'",
        "image_size=64",
    ):
        assert part in command
