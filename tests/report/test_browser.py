"""The report in a real headless browser: quiet, without network, at home on a phone; filters, slider and toggles work.

Needs the extra [browser] and a Chromium (found on the PATH, or named by MTLREPRO_CHROMIUM).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_fakes import full_session, illustrated, row, session, smoke_checks, table

from mtlrepro.report import write_report
from mtlrepro.suite.results import Check

CHROMIUM = os.environ.get("MTLREPRO_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
sync_api = pytest.importorskip("playwright.sync_api", reason="needs the extra [browser]")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH")
LOCAL = ("file:", "data:")
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of three tables: verdicts of every kind, scenes with pictures, and one where nothing ran."""
    folder = tmp_path_factory.mktemp("report")
    full = full_session().tables[0]
    smoke = table(row("Alpha", checks=smoke_checks()), row(EVIL, checks=smoke_checks()), paper="jtr")
    smoke.rows[0].checks[-1].verdict = "FAIL"
    recorded = Check("recorded", "depth.rmse", "PASS", "smoke", "0.9", 0.97, 0.07, 0.1, "spread", 3, 0.02)
    smoke.rows[1].checks.append(recorded)
    smoke.rows[1].resources = {"params": 9e6, "macs": 90e9}
    smoke.caption = "A long caption. " * 20 + "x" * 120
    idle = table(row("Quiet", None), paper="mt_cp")
    result = session(full, smoke, idle)
    illustrated(result, folder / "runs")
    write_report(result, folder / "runs", folder / "report")
    return folder / "report" / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, report: Path) -> Iterator[Any]:
    """Opens the report; at the end nothing may have been logged, thrown, or asked of a network."""
    said: list[str] = []
    contexts = []

    def visit(width: int = 1280, anchor: str = "", **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: None if request.url.startswith(LOCAL) else said.append(request.url))
        page.goto(f"{report.as_uri()}{anchor}")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert said == []


def shown(page: Any, selector: str) -> list[str]:
    return [e.inner_text().split("\n")[0] for e in page.locator(selector).all() if e.is_visible()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_page_is_wider_than_its_window(visit: Any, width: int, scheme: str) -> None:
    page = visit(width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink, paper = page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
    dark = sum(map(int, paper[4:-1].split(",")[:3])) < sum(map(int, ink[4:-1].split(",")[:3]))
    assert dark is (scheme == "dark")


def test_a_tile_filters_rows_tables_and_contents(visit: Any) -> None:
    page = visit()
    rows = "section.table table.main tbody th"
    everything = shown(page, rows)
    page.get_by_role("button", name="1 FAIL").and_(page.locator("[data-f='smoke:FAIL']")).click()
    assert shown(page, rows) == ["Alpha baseline"]
    assert shown(page, "section.table h2") == ["jtr table 2a (nyuv2)"]
    assert page.locator("nav li[data-for]:visible").count() == 1
    assert page.locator("#found").inner_text() == "1 row in 1 of 3 tables with smoke: FAIL"
    assert page.locator("[data-f='smoke:FAIL']").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Show all").click()
    assert shown(page, rows) == everything
    assert page.locator("#found").inner_text() == ""


def test_every_tile_shows_as_many_rows_as_have_such_a_check(visit: Any) -> None:
    page = visit()
    lines = page.locator("section.table table.main tbody tr")
    tokens = [(line.get_attribute("data-c") or "").split() for line in lines.all()]
    for button in page.locator("button[data-f]").all():
        button.click()
        wanted = sum(button.get_attribute("data-f") in found for found in tokens)
        assert lines.evaluate_all("all => all.filter(r => !r.closest('[hidden]')).length") == wanted > 0
        button.click()


def test_words_find_rows_and_tables(visit: Any) -> None:
    page = visit()
    page.get_by_role("searchbox").fill("alph")
    assert shown(page, "section.table table.main tbody th") == ["Alpha baseline"]
    page.get_by_role("searchbox").fill("MT_CP")
    assert shown(page, "section.table h2") == ["mt_cp table 2a (nyuv2)"]
    page.get_by_role("searchbox").fill("no such thing")
    assert shown(page, "section.table h2") == []


def test_the_slider_lays_ground_truth_over_predictions(visit: Any) -> None:
    page = visit()
    gallery = page.locator(".gallery:visible").first
    over = gallery.locator(".over:visible").first
    cut = "e => getComputedStyle(e.firstElementChild).clipPath"
    assert over.evaluate(cut) == "inset(0px 100% 0px 0px)"
    slider = gallery.get_by_role("slider").first
    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    assert over.evaluate(cut) == "inset(0px 70% 0px 0px)"
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 5)
    page.mouse.up()
    assert slider.input_value() == "50"
    width = over.bounding_box()["width"]
    gallery.get_by_role("slider").nth(1).fill("300")
    assert over.bounding_box()["width"] == 300 != width


def test_images_tasks_and_rows_are_toggled(visit: Any) -> None:
    page = visit()
    gallery = page.locator(".gallery:visible").last
    assert shown(gallery, ".sheet thead th:not(.stick)") == ["semseg", "depth"]
    gallery.get_by_role("button", name="depth").click()
    assert shown(gallery, ".sheet thead th:not(.stick)") == ["semseg"]
    assert gallery.locator("td[data-task=depth]:visible").count() == 0
    gallery.get_by_role("button", name="depth").click()
    gallery.get_by_role("button", name="1", exact=True).click()
    assert [s.get_attribute("data-image") for s in gallery.locator(".sheet:visible").all()] == ["1"]
    gallery.locator("details.set summary").click()
    rows = shown(gallery, ".sheet tbody th")
    gallery.get_by_role("button", name=rows[1]).click()
    assert shown(gallery, ".sheet tbody th") == [rows[0], *rows[2:]]


def test_a_row_leads_to_its_runs_spec_and_environment(visit: Any) -> None:
    page = visit()
    page.locator("a.runs").first.click()
    spec = page.locator(".ledger details[open]")
    assert spec.count() == 1
    assert "name: supervised" in spec.locator("pre").inner_text()
    spec.locator("a[href='#environment-1']").first.click()
    assert page.locator("#environment-1 dd").first.is_visible()
    spec.locator("p a").first.click()
    assert page.evaluate("location.hash").startswith("#t")


def test_an_address_with_a_run_opens_there(visit: Any) -> None:
    page = visit(anchor="#run-" + "0" * 16)
    assert page.locator(f"#run-{'0' * 16}").get_attribute("open") == ""


def test_all_of_it_can_be_read_without_script(visit: Any) -> None:
    page = visit(java_script_enabled=False)
    assert page.locator(".find").is_hidden()
    assert page.locator(".tools").first.is_hidden()
    assert shown(page, "section.table h2") == [
        "mti_net table 2a (nyuv2)", "jtr table 2a (nyuv2)", "mt_cp table 2a (nyuv2)"
    ]  # fmt: skip
    ran = page.locator("section.table:not(:has(details.idle)) .sheet")
    assert ran.count() == 4
    assert all(sheet.is_visible() for sheet in ran.all())


def test_the_keyboard_reaches_tiles_search_and_tables(visit: Any) -> None:
    page = visit()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(e => e.className || e.id || e.tagName)(document.activeElement)").split(" ")[0])
    assert {"badge", "find", "SUMMARY", "scroll"} <= reached
    page.locator("[data-f='smoke:FAIL']").focus()
    page.keyboard.press("Enter")
    assert shown(page, "section.table table.main tbody th") == ["Alpha baseline"]


def test_pictures_and_charts_say_what_they_show(visit: Any) -> None:
    page = visit()
    nameless = page.evaluate(
        "[...document.querySelectorAll('[role=img], [role=region], button, input')].filter(e => "
        "!(e.getAttribute('aria-label') || e.textContent.trim())).length"
    )
    assert nameless == 0
    assert page.get_by_role("img", name="depth, Alpha", include_hidden=True).count() == 2


def test_print_unfolds_everything_and_hides_the_tools(visit: Any) -> None:
    page = visit()
    folded = "document.querySelectorAll('details:not([open])').length"
    before = page.evaluate(folded)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(folded) == 0 < before
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.locator(".find").is_hidden()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(folded) == before
