from __future__ import annotations

import pytest

from medpipe.errors import RequestError
from medpipe.pacs.routes import Destination, read_routes

GOOD = """
routes:
  - name: chest
    when: {Modality: [CR, DX], BodyPartExamined: CHEST}
    bundle: cxr_pneumothorax_acm
    options: {num_workers: 0}
    dicom: [sr]
    send:
      - {ae_title: ORTHANC, host: 127.0.0.1, port: 4242}
      - {stow: "http://127.0.0.1:8042/dicom-web"}
  - {name: all, bundle: other}
"""


def read(tmp_path, text: str):
    (tmp_path / "routes.yaml").write_text(text)
    return read_routes(tmp_path / "routes.yaml")


def test_rules_are_read_in_their_order_with_their_destinations(tmp_path) -> None:
    chest, everything = read(tmp_path, GOOD)
    assert (chest.name, chest.bundle, chest.dicom) == ("chest", "cxr_pneumothorax_acm", ("sr",))
    assert chest.send == (
        Destination("ORTHANC", "127.0.0.1", 4242),
        Destination(stow="http://127.0.0.1:8042/dicom-web"),
    )
    assert everything.when == {}


def test_one_instance_must_match_every_keyword(tmp_path) -> None:
    chest, everything = read(tmp_path, GOOD)
    assert chest.matches([{"Modality": "SR"}, {"Modality": "cr ", "BodyPartExamined": "Chest"}])
    assert not chest.matches([{"Modality": "CR"}, {"BodyPartExamined": "CHEST"}])
    assert not chest.matches([])
    assert everything.matches([{}])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("routes: []", "a list of at least one rule"),
        ("rules: [1]", "the one key 'routes'"),
        ("routes: [1]", "rule 1: expected keys and values"),
        ("routes: [{name: a, bundle: b, wen: {}}]", "rule 1: unknown key 'wen'"),
        ("routes: [{name: '../a', bundle: b}]", "name '../a' must have"),
        ("routes: [{name: a}]", "'bundle' is missing"),
        ("routes: [{name: a, bundle: b, when: {Modalty: CR}}]", "'Modalty' is no DICOM keyword"),
        ("routes: [{name: a, bundle: b, dicom: [pdf]}]", "'dicom' has 'pdf'; choose from sr, pr, sc"),
        ("routes: [{name: a, bundle: b, send: [{host: x}]}]", "expected ae_title, host and port, or stow"),
        ("routes: [{name: a, bundle: b, send: [{stow: 'ftp://x'}]}]", "expected ae_title"),
        ("routes: [{name: a, bundle: b}, {name: a, bundle: c}]", "a name of its own"),
        ("routes: [{name: a, bundle: b, dicom: sr}]", "'dicom' is a list"),
        ("routes: [{name: a, bundle: b, options: [x]}]", "'options' has keys"),
        ("routes: [{name: a, bundle: b, send: [{ae_title: A, host: h, port: 70000}]}]", "between 1 and 65535"),
        ("routes: [{name: a, bundle: b, send: [{ae_title: LONGER_THAN_SIXTEEN, host: h, port: 1}]}]", "1 to 16"),
        ("routes: [", "cannot be read"),
        ("!!python/object/apply:os.system ['true']", "cannot be read"),
    ],
)
def test_wrong_files_are_refused_with_the_rule_and_the_key(tmp_path, text, message) -> None:
    with pytest.raises(RequestError, match=message):
        read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(RequestError, match="none.yaml"):
        read_routes(tmp_path / "none.yaml")


def test_a_password_in_an_address_is_not_shown() -> None:
    assert str(Destination(stow="http://bob:s3cret@h/dicom-web")) == "http://h/dicom-web"
