from __future__ import annotations

import re
from pathlib import Path

import pytest

import medpipe.reports.methods as module
from medpipe.reports.methods import Citations, methods_section, references


def text(section: dict) -> str:
    return "\n".join(section["paragraphs"])


@pytest.mark.parametrize("kind", ["roc", "localization", "multilabel", "mrmc", "registration"])
def test_every_reference_is_cited_and_every_citation_is_a_reference(sample, kind) -> None:
    section = methods_section(None, getattr(sample, kind)(), None, {})
    cited = {int(n) for mark in re.findall(r"\[([\d, ]+)\]", text(section)) for n in mark.split(",")}
    assert cited == set(range(1, len(section["references"]) + 1))


def test_references_are_numbered_in_the_order_of_the_text(sample) -> None:
    section = methods_section(None, sample.localization(), sample.comparison(), {})
    first = [text(section).index(f"[{n}") if f"[{n}" in text(section) else -1 for n in (1, 2)]
    assert 0 <= first[0] < first[1]


def test_every_listed_reference_is_used_by_the_code() -> None:
    source = Path(module.__file__).read_text(encoding="utf-8")
    assert all(f'"{key}"' in source or f"'{key}'" in source for key in references())


def test_the_text_names_what_was_computed_and_nothing_else(sample) -> None:
    roc = text(methods_section(None, sample.roc(), None, {}))
    assert "Of 63 cases listed, 60 were analysed (55 patients): 20 with disease and 40 without disease; 3 cases" in roc
    assert "AUC: what AUC means." in roc
    assert "Operating points: Fixed, the rule of Fixed; Chosen, the rule of Chosen." in roc
    assert "AUC by sex and site" in roc
    assert "Chakraborty" not in roc
    assert "Obuchowski" not in roc
    froc = text(methods_section(None, sample.localization(), None, {}))
    assert "A mark hits a lesion within 10 mm. Free-response analysis (LUNA16) followed Chakraborty" in froc
    assert "2 diseased cases with lesions of unknown place took no part in it." in froc


def test_a_reader_study_names_its_analyses_and_what_they_generalise_to(sample) -> None:
    study = text(methods_section(None, sample.mrmc(), None, {}))
    assert "A FROC study with 2 readers and 2 modalities." in study
    assert re.search(r"Obuchowski-Rockette \[\d, \d\] and Dorfman-Berbaum-Metz \[\d, \d\]", study)
    assert "random readers and random cases, fixed readers and random cases and random readers and fixed cases" in study


def test_a_run_names_bundle_weights_and_software() -> None:
    run = {
        "identity": {"bundle": "b", "weights_sha256": "ab" * 32, "options": {"size": 64}},
        "versions": {"medpipe": "1", "torch": "2", "monai": "3"},
    }
    section = methods_section(run, None, None, {"version": "0.1", "references": ["A paper."]})
    assert "bundle b 0.1 (size 64; weights with SHA-256 abababababababab...) [1] on PyTorch 2 and MONAI 3 [2]" in text(
        section
    )
    assert section["references"][0] == "A paper."


def test_nothing_gives_no_section() -> None:
    assert methods_section(None, None, None, {}) is None


def test_a_citation_keeps_its_number() -> None:
    cite = Citations()
    assert cite("wilson") == "[1]"
    assert cite("delong", "wilson") == "[1, 2]"
    assert cite.of_method("DeLong, normal interval") == "DeLong, normal interval [2]"
    assert cite.of_method("something else") == "something else"
