"""The section of the report that shows what each question's words weigh."""

from __future__ import annotations

import json

import pytest

from medpipe.reports.page import render
from medpipe.reports.question_attention import question_attention_section

OPTIONS = {"explain": "attention", "attention": "ban", "visual_tokens": "one"}
CASES = {"printed": [{"name": "a", "picture": "", "link": ""}, {"name": "b", "picture": "", "link": ""}], "total": 2}


def section(folder, **options):
    return question_attention_section(folder, {"identity": {"options": {**OPTIONS, **options}}}, CASES)


def page(content) -> str:
    sections = {"question_attention": {"title": "Attention", "content": content}}
    return render({"title": "T", "subtitle": "", "notices": [], "statements": [], "sections": sections})


@pytest.fixture
def folder(tmp_path):
    attended = {
        "words": ["is", "<b>", "odd", "", ""],
        "known": [True, True, False, True, True],
        "weights": [0.1, 0.5, 0.2, 0.15, 0.05],
        "places": None,
    }
    (tmp_path / "cases" / "a").mkdir(parents=True)
    (tmp_path / "cases" / "a" / "attention.json").write_text(json.dumps(attended))
    (tmp_path / "answers.csv").write_text("case,answer,probability\na,yes,0.75\nb,,\n")
    return tmp_path


def test_each_word_has_its_share_and_a_shade_and_padding_stands_together(folder) -> None:
    (row,) = section(folder)["rows"]
    assert [(mark["text"], mark["share"], mark["shade"]) for mark in row["marks"]] == [
        ("is", "10 %", 1),
        ("<b>", "50 %", 5),
        ("odd", "20 %", 2),
        ("", "20 %", 2),
    ]
    assert (row["answer"], row["probability"]) == ("yes", "0.750")


def test_the_page_shows_words_and_numbers_without_a_script(folder) -> None:
    text = page(section(folder)).split("<main")[1].split("<script")[0]
    for part in ("&lt;b&gt;", '<span class="share">50 %</span>', "(unknown)", "end (2)", "is not a reason"):
        assert part in text
    assert "style=" not in text  # which the page's own policy would not let a browser apply
    assert "1 of 2 questions" in text


def test_stacked_attention_with_one_token_is_said_to_have_nothing_to_show(tmp_path) -> None:
    text = page(section(tmp_path, attention="san"))
    assert "has nothing to choose from" in text
    assert "<table" not in text


def test_there_is_no_section_where_none_was_asked_for(folder, tmp_path) -> None:
    assert section(folder, explain="none") is None
    assert section(tmp_path / "elsewhere") is None
    assert question_attention_section(folder, {"identity": {"options": OPTIONS}}, None) is None
