from __future__ import annotations

import pytest

from medpipe.reports.checklist import FACTS, Files, checklist_items, checklist_section

STARD_AI = [
    *(str(k) for k in range(1, 15)),
    *("15a", "15b", "15c", "15d", "16a", "16b", "16c", "17a", "17b"),
    *(str(k) for k in range(18, 26)),
    *("26a", "26b"),
    *(str(k) for k in range(27, 40)),
    *("40a", "40b"),
]


def test_the_guidelines_are_listed_with_all_their_items_in_order() -> None:
    stard, claim = checklist_items()
    assert [item["item"] for item in stard["items"]] == STARD_AI
    assert [item["item"] for item in claim["items"]] == [str(k) for k in range(1, 45)]
    assert (stard["name"], stard["year"]) == ("STARD-AI", 2025)
    assert (claim["name"], claim["year"]) == ("CLAIM", 2024)
    assert all("doi:" in guideline["citation"] for guideline in (stard, claim))


def test_every_item_says_what_it_asks_and_names_a_known_fact_if_any() -> None:
    used = set()
    for guideline in checklist_items():
        for item in guideline["items"]:
            assert set(item) <= {"item", "part", "text", "fact", "partly"}
            assert {"item", "part", "text"} <= set(item)
            assert all(isinstance(item[key], str) and item[key] for key in ("item", "part", "text"))
            assert "fact" in item or "partly" not in item
            used |= {item["fact"]} if "fact" in item else set()
    assert used == set(FACTS)  # every fact serves an item


def files(results, run=None, rows=(), metadata=None) -> Files:
    return Files(run, list(rows), results, metadata or {})


@pytest.mark.parametrize("kind", ["roc", "localization", "multilabel", "mrmc", "registration"])
def test_counts_of_states_add_up(sample, kind) -> None:
    for guideline in checklist_section(files(getattr(sample, kind)()))["guidelines"]:
        assert sum(guideline["counts"].values()) == len(guideline["items"])
        assert all((item["state"] == "open") == (item["answer"] == "") for item in guideline["items"])


def test_facts_say_what_the_results_hold(sample) -> None:
    results = sample.roc()
    answers = {name: fact(files(results)) for name, fact in FACTS.items()}
    assert answers["flow"] == ("63 listed, 3 left out, 60 analysed", "results.json", "cohort")
    assert answers["thresholds"][0] == "2 operating points, 1 with a threshold set before these cases were seen"
    assert answers["cross_table"][0] == "Fixed: 16 TP, 4 FP, 4 FN, 36 TN"
    assert answers["accuracy"][0] == "AUC 0.900 (0.800 to 0.970) and others"
    assert answers["characteristics"][0] == "of the analysed cases: sex (F 30, M 30); site (north 30, south 30)"
    assert answers["software"] == ("medpipe 1.2.3, numpy 2.0", "results.json", "versions")
    assert answers["prevalence"][0] == "prevalence 33.3 % (20 of 60)"
    assert answers["index_test"] is None  # no run: the predictions may be anybody's
    assert answers["planning"] is None


def test_a_run_adds_the_test_and_its_software(sample) -> None:
    run = {
        "identity": {"bundle": "b", "weights_sha256": "f" * 64, "options": {}},
        "versions": {"medpipe": "9", "torch": "3"},
    }
    answers = {name: fact(files(sample.roc(), run, metadata={"version": "0.2"})) for name, fact in FACTS.items()}
    assert answers["index_test"] == ("bundle b 0.2, weights with SHA-256 ffffffffffffffff...", "run.json", "versions")
    assert answers["software"] == ("medpipe 9, torch 3", "run.json", "versions")
    assert answers["preprocessing"] is not None


def test_links_of_answers_lead_to_sections_that_are_there(sample, page_of) -> None:
    import re

    html = page_of(sample.localization()).read_text()
    table = html[html.index('<section id="checklist"') :]
    targets = set(re.findall(r'href="#([a-z-]+)">see', table))
    assert targets
    assert all(f'<section id="{target}"' in html for target in targets)
