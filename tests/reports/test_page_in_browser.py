"""The page as a browser shows it. The fixture ``opened`` also holds that the console stays quiet and nothing is fetched."""

from __future__ import annotations

from itertools import pairwise

import pytest

KINDS = ("roc", "localization", "multilabel", "mrmc", "registration")

LUMINANCE = """() => {
  const channel = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const parsed = text => text.match(/[\\d.]+/g).map(Number);
  const ground = node => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parsed(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) { return colour; }
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = Array.from(node.childNodes).some(part => part.nodeType === 3 && part.textContent.trim());
    if (!own || node.disabled || !node.getClientRects().length || ["SCRIPT", "TITLE", "OPTION"].includes(node.tagName)) { continue; }
    const style = getComputedStyle(node), ink = parsed(node.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const pair = [light(ink), light(ground(node))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < 4.5) { faint.push(node.textContent.slice(0, 40) + " " + ratio.toFixed(2)); }
  }
  return faint;
}"""


@pytest.fixture(params=KINDS)
def page(request, sample, page_of, opened):
    """A page of each kind of results; the first two with a second model."""
    comparison = sample.comparison() if request.param in ("roc", "localization") else None
    return opened(page_of(getattr(sample, request.param)(), comparison)).page


def test_every_section_is_seen_and_has_content(page) -> None:
    sections = page.locator("section")
    assert sections.count() >= 5
    for k in range(sections.count()):
        box = sections.nth(k).bounding_box()
        assert box["height"] > 60
        assert len(sections.nth(k).inner_text()) > 30


def test_every_link_of_the_contents_leads_to_a_section(page) -> None:
    targets = page.eval_on_selector_all("nav a", "links => links.map(link => link.getAttribute('href'))")
    assert len(targets) == page.locator("section").count()
    assert all(page.locator(target).count() == 1 for target in targets)


def test_controls_pictures_and_headings_are_labelled(page) -> None:
    unlabelled = page.eval_on_selector_all(
        "input, select", "all => all.filter(control => !control.labels.length).map(control => control.id)"
    )
    assert unlabelled == []
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    nameless = "svg:not([aria-hidden='true']):not([role='img'][aria-labelledby])"
    assert page.locator(nameless).count() == 0
    titles = page.eval_on_selector_all(
        "svg[aria-labelledby]", "all => all.map(one => document.getElementById(one.getAttribute('aria-labelledby')))"
    )
    assert all(title is not None for title in titles)


def test_headings_descend_one_level_at_a_time(page) -> None:
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_ids_are_unique(page) -> None:
    ids = page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
    assert len(ids) == len(set(ids))


def test_text_has_a_contrast_of_at_least_four_and_a_half(page) -> None:
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    assert page.evaluate(LUMINANCE) == []


@pytest.mark.parametrize("width", [375, 768, 1280])
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_does_not_scroll_sideways(sample, page_of, opened, kind, width) -> None:
    page = opened(page_of(getattr(sample, kind)()), width=width).page
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_long_name_without_blanks_does_not_widen_the_page(sample, page_of, opened) -> None:
    results = sample.roc()
    results["data"]["name"] = results["cases"][0]["case"] = "x" * 300
    results["cohort"]["without_result"][0]["reason"] = "y" * 300
    page = opened(page_of(results), width=375).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def cells(page, selector: str) -> list[str]:
    return [text.replace("\n", " ") for text in page.locator(f"{selector} td").all_inner_texts()]


def test_predictive_values_follow_the_prevalence(sample, page_of, opened) -> None:
    page = opened(page_of(sample.roc())).page
    page.get_by_label("Prevalence in %, as a number").fill("10")
    row = cells(page, "#prevalence-rows tr:first-child")
    # Sensitivity 0.8 (0.7 to 0.9), specificity 0.9 (0.85 to 0.95). PPV = 0.08 / (0.08 + 0.09), NPV = 0.81 / (0.81 + 0.02);
    # limits: log 8 -+ sqrt(log(.8/.7)^2 + log(.15/.1)^2) and so on, worked by hand.
    assert row == ["0.800", "0.900", "0.471 0.367 to 0.642", "0.976 0.964 to 0.988", "80.0", "20.0", "90.0", "810.0"]
    assert page.locator("#prevalence-said").inner_text() == "10.0 %"
    assert page.get_by_label("Prevalence, in %", exact=True).input_value() == "10"


def test_the_prevalence_of_the_sample_can_be_set_again(sample, page_of, opened) -> None:
    page = opened(page_of(sample.roc())).page
    before = cells(page, "#prevalence-rows tr:first-child")
    page.get_by_label("Prevalence in %, as a number").fill("1")
    assert cells(page, "#prevalence-rows tr:first-child") != before
    page.get_by_role("button", name="Prevalence of the sample (33.3 %)").click()
    assert cells(page, "#prevalence-rows tr:first-child") == before
    assert before[2].startswith("0.800 ")  # 0.8 / 3 / (0.8 / 3 + 0.1 * 2 / 3): at the sample's own third


def test_the_prevalence_moves_by_the_arrow_keys(sample, page_of, opened) -> None:
    page = opened(page_of(sample.roc())).page
    page.get_by_label("Prevalence in %, as a number").fill("10")
    page.get_by_label("Prevalence, in %", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#prevalence-said").inner_text() == "10.1 %"
    assert page.get_by_label("Prevalence in %, as a number").input_value() == "10.1"


@pytest.mark.parametrize("nonsense", ["0", "100", "-5", ""])
def test_a_prevalence_that_cannot_be_leaves_the_table_as_it_was(sample, page_of, opened, nonsense) -> None:
    page = opened(page_of(sample.roc())).page
    before = cells(page, "#prevalence-rows")
    page.get_by_label("Prevalence in %, as a number").fill(nonsense)
    assert cells(page, "#prevalence-rows") == before


def test_at_a_specificity_of_one_the_limits_are_put_in_directly(sample, page_of, opened) -> None:
    results = sample.roc()
    results["operating_points"][0] = sample.point("Sure", (0.5, 0.4, 0.6), (1.0, 0.9, 1.0))
    page = opened(page_of(results)).page
    page.get_by_label("Prevalence in %, as a number").fill("50")
    # PPV 1; the lowest likelihood ratio is 0.4 / 0.1 = 4, so 4 / 5; NPV 1 / 1.5, between 0.9/(0.9 + 0.6) and so on
    assert cells(page, "#prevalence-rows tr:first-child")[2] == "1.000 0.800 to 1.000"


def test_any_threshold_of_the_curve_can_be_looked_at(sample, page_of, opened) -> None:
    page = opened(page_of(sample.roc())).page
    assert not page.locator("#chosen-point").is_visible()
    page.get_by_label("Any threshold on the ROC curve").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.locator("#threshold-value").inner_text() == "at or above 0.8"
    assert cells(page, "#threshold-row")[:2] == ["0.900", "0.600"]  # the curve's point (0.4, 0.9)
    assert page.locator("#chosen-point").is_visible()


def names(page) -> list[str]:
    return page.locator("#case-table tbody th").all_inner_texts()


def test_cases_stand_with_misses_first_then_false_positives(sample, page_of, opened) -> None:
    page = opened(page_of(sample.localization())).page
    # case001: nothing found, score 0.2 below the threshold; case000: one of two lesions found; case003: a false alarm
    assert names(page) == ["case001", "case000", "case003", "case002", "case004"]
    outcomes = page.locator("#case-table tbody td:nth-child(2)").all_inner_texts()
    assert outcomes == ["miss", "miss", "false positive", "right", "right"]


def test_cases_are_sorted_by_a_press_on_a_column(sample, page_of, opened) -> None:
    page = opened(page_of(sample.localization())).page
    head = page.locator("#case-table th", has_text="Score")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(page) == ["case004", "case001", "case002", "case000", "case003"]
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert names(page) == ["case003", "case000", "case002", "case001", "case004"]
    page.locator("#case-table th", has_text="Lesions found").get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "none"
    assert names(page)[:3] == ["case001", "case000", "case002"]  # 0 of 1, 1 of 2, 1 of 1; those without lesions last


def test_cases_are_found_by_words_and_by_outcome(sample, page_of, opened) -> None:
    page = opened(page_of(sample.localization())).page
    page.get_by_label("Show").select_option(label="misses")
    assert names(page) == ["case001", "case000"]
    page.get_by_label("Show").select_option(label="wrong (misses and false positives)")
    assert names(page) == ["case001", "case000", "case003"]
    page.get_by_label("Show").select_option(label="false positives")
    assert names(page) == ["case003"]
    page.get_by_label("Show").select_option(label="all")
    page.get_by_label("Find").fill("NOT case004")
    assert names(page) == ["case004"]  # every word, in any column, whatever its case
    assert page.locator("#case-status").inner_text() == "1 to 1 of 1 matching cases, of 5"
    page.get_by_label("Find").fill("nowhere")
    assert names(page) == []
    assert page.locator("#case-status").inner_text() == "0 matching cases, of 5"


def tab_to(page, description: str) -> None:
    for _ in range(300):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id + ' ' + document.activeElement.textContent") == description:
            return
    raise AssertionError(f"{description} is not reached by the keyboard")


def test_the_keyboard_alone_sorts_filters_and_turns_pages(sample, page_of, opened) -> None:
    page = opened(page_of(sample.roc())).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    tab_to(page, "case-filter ")
    page.keyboard.type("case05")
    assert len(names(page)) == 10
    tab_to(page, " Case")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    assert names(page)[0] == "case059"
    page.get_by_label("Find").fill("")
    tab_to(page, "case-next Next")
    page.keyboard.press("Enter")
    assert page.locator("#case-status").inner_text() == "26 to 50 of 60 cases"


def test_ten_thousand_cases_are_paged(sample, page_of, opened) -> None:
    results = sample.roc()
    results["cases"] = [sample.case(k, k % 2 == 0, k / 10_000) for k in range(10_000)]
    page = opened(page_of(results)).page
    assert page.locator("#case-table tbody tr").count() == 25
    assert page.locator("#case-status").inner_text() == "1 to 25 of 10,000 cases"
    page.get_by_label("Per page").select_option("100")
    page.get_by_role("button", name="Next").click()
    assert page.locator("#case-status").inner_text() == "101 to 200 of 10,000 cases"
    assert page.locator("#static-cases tbody tr").count() == 50


@pytest.fixture
def pictured(tmp_path):
    """A run of sixty cases with pictures."""
    import numpy as np

    from medpipe.predictions.journal import CaseResult
    from medpipe.predictions.overlays import draw_marks
    from medpipe.predictions.run_folder import RunFolder
    from medpipe.reports.page import write_report

    folder = RunFolder(tmp_path / "out", bundle="b")
    folder.start()
    for k in range(60):
        draw_marks(folder.case_folder(f"c{k:02d}") / "marks.png", np.full((40, 40), 4 * k, np.uint8), [], scale=1)
        folder.record(CaseResult(f"c{k:02d}", "done", "", {}, k / 60))
    folder.finish()
    return write_report(tmp_path / "out")


def test_a_run_is_shown_as_pictures_that_link_to_the_large_ones(opened, pictured) -> None:
    page = opened(pictured).page
    cards = page.locator("#case-pictures figure")
    assert cards.count() == 25
    assert cards.nth(0).inner_text().startswith("c59")
    assert cards.nth(0).locator("a").get_attribute("href") == "../cases/c59/marks.png"
    widths = page.eval_on_selector_all("#case-pictures img", "all => all.map(one => one.naturalWidth)")
    assert widths == [40] * 25
    page.get_by_label("Per page").select_option("100")
    shades = page.eval_on_selector_all("#case-pictures img", "all => new Set(all.map(one => one.src)).size")
    assert shades == 60  # those of the printed table and those of the script's own data
    page.get_by_label("As", exact=True).select_option("table")
    assert page.locator("#case-table tbody tr img").count() == 60


def test_choices_of_a_reader_study_change_its_tables(sample, page_of, opened) -> None:
    page = opened(page_of(sample.mrmc())).page

    def seen() -> str:
        return " ".join(page.locator("#reader-study .choice:visible").all_inner_texts())

    assert "wAFROC by modality and reader" in seen()
    assert "F(1, 36.8) = 7.50, p < 0.001" in seen()
    page.get_by_label("Figure of merit").select_option("AFROC")
    assert "wAFROC" not in seen()
    assert "0.620" in seen()
    assert "F(1, 36.8) = 8.50, p < 0.001" in seen()
    page.get_by_label("Generalises to").select_option("FRRC")
    assert "\u03c7\u00b2(1) = 15.40, p = 0.004" in seen()
    assert "Differences for each reader" in seen()
    page.get_by_label("Analysis").select_option("DBM")
    assert "there is no test: one reader" in seen()
    page.get_by_label("Generalises to").select_option("RRRC")
    assert "F(1, 36.8) = 99.00" in seen()


def test_a_choice_is_made_by_the_keyboard(sample, page_of, opened) -> None:
    page = opened(page_of(sample.mrmc())).page
    page.get_by_label("Figure of merit").focus()
    page.keyboard.press("ArrowDown")
    assert page.get_by_role("heading", name="AFROC by modality and reader", exact=True).is_visible()


def test_in_print_the_static_table_stands_and_controls_are_gone(sample, page_of, opened) -> None:
    page = opened(page_of(sample.roc(), sample.comparison())).page
    assert not page.locator("#static-cases").is_visible()
    page.emulate_media(media="print")
    assert page.locator("#static-cases").is_visible()
    assert page.locator("#static-cases tbody tr").count() == 50
    visible = page.eval_on_selector_all(
        "button, input, select, nav", "all => all.filter(one => one.getClientRects().length).length"
    )
    assert visible == 0
    assert page.locator("#curves details").count() == 2
    assert (
        page.locator("#curves details table").first.bounding_box()["height"] > 50
    )  # closed on the screen, open in print


def test_the_print_of_a_reader_study_shows_the_default_figure_alone(sample, page_of, opened) -> None:
    page = opened(page_of(sample.mrmc())).page
    page.emulate_media(media="print")
    heads = page.locator("#reader-study h3:visible").all_inner_texts()
    assert heads[:2] == [
        "wAFROC by modality and reader",
        "wAFROC: Obuchowski-Rockette, random readers and random cases",
    ]
    assert not any(text.startswith("AFROC") for text in heads)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_can_be_made_a_pdf(sample, page_of, opened, kind) -> None:
    page = opened(page_of(getattr(sample, kind)())).page
    assert page.pdf(format="A4", prefer_css_page_size=True).startswith(b"%PDF")


def test_without_scripts_the_page_is_readable(sample, page_of, opened) -> None:
    page = opened(page_of(sample.roc()), java_script_enabled=False).page
    assert page.locator("#static-cases").is_visible()
    assert page.locator("button:visible, input:visible, select:visible").count() == 0
    assert "0.900" in page.locator("#figures").inner_text()


def test_the_methods_are_copied_with_their_references(sample, page_of, opened) -> None:
    stub = (
        "Object.defineProperty(navigator, 'clipboard',"
        " { value: { writeText: text => { window.copied = text; return Promise.resolve(); } } });"
    )
    page = opened(page_of(sample.roc()), before=stub).page
    page.get_by_role("button", name="Copy the text").click()
    page.get_by_text("Copied.").wait_for()
    copied = page.evaluate("window.copied")
    assert "Of 63 cases listed, 60 were analysed" in copied
    assert "1. B. Efron, R.J. Tibshirani." in copied


def test_where_copying_is_not_allowed_the_text_is_selected(sample, page_of, opened) -> None:
    stub = "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
    page = opened(page_of(sample.roc()), before=stub).page
    page.get_by_role("button", name="Copy the text").click()
    assert "Of 63 cases listed" in page.evaluate("window.getSelection().toString()")
    assert page.get_by_text("The text is selected").is_visible()


def test_curves_are_told_apart_by_dashes_as_well_as_by_colour(sample, page_of, opened) -> None:
    page = opened(page_of(sample.roc(), sample.comparison())).page
    dash = "one => [getComputedStyle(one).strokeDasharray, getComputedStyle(one).stroke]"
    first = page.locator("#roc-chart path.first").first.evaluate(dash)
    second = page.locator("#roc-chart path.second").first.evaluate(dash)
    assert first[0] != second[0]
    assert first[1] != second[1]
    assert page.locator("#curves figcaption").first.inner_text().count("model") == 2


def test_a_script_that_is_not_ours_does_not_run(sample, page_of, opened) -> None:
    page_path = page_of(sample.roc())
    html = page_path.read_text()
    page_path.write_text(html.replace("</main>", "<script>window.foreign = 1</script></main>"))
    found = opened(page_path)
    assert found.page.evaluate("window.foreign") is None
    assert any("Content Security Policy" in text for text in found.said)
    found.said.clear()  # the refusal is what was wanted
