"""The page in a real browser: the viewer by mouse, keyboard and on a phone; nothing of a text runs.

Skipped where no Chromium is installed (`apt-get install chromium`), or playwright is not (`pip install playwright`).
"""

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recrl.reports.config import ReportConfig
from recrl.reports.making import make_report
from reports_shop import Shop

pytestmark = pytest.mark.slow
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="driving a browser needs playwright")
    with playwright.sync_playwright() as driver:
        options = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
        launched = driver.chromium.launch(executable_path=found, args=options)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def report(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the shop whose texts try everything."""
    output = tmp_path_factory.mktemp("browser") / "report.html"
    return make_report(ReportConfig(sources=(str(shop.run),), catalog=str(shop.folder), output=str(output)))


@pytest.fixture
def page(browser: Any, report: Path) -> Iterator[Any]:
    """The page, opened; it must load nothing, complain of nothing, and run nothing of others."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    yield from watched(opened, report)


def watched(opened: Any, report: Path) -> Iterator[Any]:
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append("a dialog"))
    opened.on("request", lambda request: None if request.url.startswith("file:") else complaints.append(request.url))
    opened.goto(report.as_uri())
    opened.wait_for_selector("#viewer .screen")
    yield opened
    assert complaints == []
    assert opened.evaluate("window.hacked") is None
    opened.close()


def steps(page: Any) -> int:
    return page.locator(".steps button").count()


def heading(page: Any) -> str:
    return page.locator(".bar strong").first.text_content()


def test_every_page_of_every_episode_can_be_looked_at(page: Any) -> None:
    for agent in ("random", "reader"):
        page.select_option("#policy-a", label=agent)
        for goal in range(0, 48, 5):
            page.locator("#goals button").nth(goal).click()
            for step in range(steps(page)):
                page.locator(".steps button").nth(step).click()
                assert page.locator(".steps [aria-current=step]").count() == 1
            assert heading(page) == "how it ended"
    assert page.locator("#viewer script, #viewer img, #viewer b").count() == 0


def test_titles_are_shown_as_they_are(page: Any) -> None:
    page.locator("#goals button", has_text="i want hat8 ").first.click()
    assert "<script>window.hacked = 1</script>" in page.locator(".wish").text_content()


def test_the_keyboard_does_it_all(page: Any) -> None:
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("hat1")
    page.keyboard.press("Escape")
    first = page.locator(".wish").text_content()
    page.keyboard.press("ArrowDown")
    assert page.locator(".wish").text_content() != first
    assert heading(page).startswith("Step 1")
    page.keyboard.press("ArrowRight")
    assert heading(page).startswith("Step 2")
    assert page.locator("[aria-live=polite]").text_content().startswith("Step 2 of ")
    page.keyboard.press("ArrowLeft")
    assert heading(page).startswith("Step 1")
    page.locator("[data-key=next]").focus()
    page.keyboard.press("Enter")
    assert heading(page).startswith("Step 2")
    assert page.evaluate("document.activeElement.dataset.key") == "next"  # the focus stays where it was


def test_episodes_are_filtered_by_outcome_and_two_are_compared(page: Any) -> None:
    page.select_option("#policy-a", label="random")
    every = page.locator("#goals li").count()
    page.select_option("#outcome", "failed")
    failed = page.locator("#goals li").count()
    page.select_option("#outcome", "success")
    assert failed + page.locator("#goals li").count() == every == 48
    page.select_option("#outcome", "")
    page.select_option("#policy-b", label="reader")
    assert page.locator("article.side").count() == 2
    page.select_option("#outcome", "differ")
    assert page.locator("#goals li").count() == failed  # the reader buys everything right
    page.fill("#search", "no such words")
    assert page.locator(".main .notice").text_content() == "No goal is like that."


def test_an_address_leads_to_a_step(browser: Any, page: Any, report: Path) -> None:
    page.locator("#goals button").nth(3).click()
    page.keyboard.press("ArrowRight")
    address, shown = page.url, page.locator(".main").inner_text()
    other = browser.new_page()
    other.goto(address)
    assert other.locator(".main").inner_text() == shown
    other.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(browser: Any, report: Path, scheme: str) -> None:
    phone = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    for page in watched(phone, report):
        for agent in ("random", "reader"):
            page.select_option("#policy-a", label=agent)
            for step in range(steps(page)):
                page.locator(".steps button").nth(step).click()
                assert page.evaluate("document.documentElement.scrollWidth") == 390
        style = "getComputedStyle(document.body)"
        colours = page.evaluate(f"[{style}.color, {style}.backgroundColor]")
        ink, ground = (sum(map(int, colour[4:-1].split(","))) for colour in colours)
        assert (ink < ground) == (scheme == "light")
        buttons = page.locator(".move button").all()
        assert all(button.bounding_box()["height"] >= 40 for button in buttons)


def test_everything_has_a_name_for_a_screen_reader(page: Any) -> None:
    kinds = "button, select, input, a, svg[role=img], [role=region]"
    named = "one.getAttribute('aria-label') || one.textContent.trim() || (one.labels && one.labels.length)"
    unnamed = page.evaluate(f"[...document.querySelectorAll('{kinds}')].filter((one) => !({named})).length")
    assert unnamed == 0
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert page.evaluate("document.documentElement.lang") == "en"


def test_on_paper_every_step_of_the_episode_is_shown(page: Any) -> None:
    count = steps(page)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".screen").count() == count
    page.emulate_media(media="print")
    assert not page.locator(".controls").is_visible()
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator(".screen").count() == 1
