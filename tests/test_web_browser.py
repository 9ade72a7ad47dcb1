"""The rehearsal page in a real Chromium: drawn, silent, and usable from the keyboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from test_web_fixture import serving

ARGUMENTS = [
    "--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
COLORS_DRAWN = """canvas => {
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3] === 255) seen.add(`${data[at]},${data[at + 1]},${data[at + 2]}`);
  return seen.size;
}"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a running server."""
    with serving() as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium of this machine."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert path, "no chromium on this machine: `make test` installs it, or set CHROMIUM to its path"
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The rehearsal page, which may say nothing on the console: that is where violations of the policy go."""
    complaints: list[str] = []
    made = browser.new_page(viewport={"width": 1200, "height": 900})
    made.on("console", lambda message: complaints.append(message.text))
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on("requestfailed", lambda request: complaints.append(request.url))
    made.goto(f"{url}/systems/card-fraud", wait_until="load")
    made.wait_for_selector("#queue canvas")
    yield made
    assert complaints == []
    made.close()


def test_every_chart_is_drawn(page: Page) -> None:
    """Each chart has a canvas with several solid colours on it."""
    charts = page.locator("[data-chart]")
    assert charts.count() == 4
    for at in range(4):
        canvas = charts.nth(at).locator("canvas")
        assert canvas.evaluate(COLORS_DRAWN) >= 3


def test_charts_are_read_with_the_arrow_keys(page: Page) -> None:
    """With a chart in focus the arrow keys say each day's numbers, to the eye and to a screen reader."""
    page.focus("#cumulative [data-chart]")
    page.keyboard.press("End")
    assert page.inner_text("#cumulative [data-when]") == "30 Sep 2018"
    assert "This system \N{MINUS SIGN}€854,491" in (page.text_content("#cumulative [data-live]") or "")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#cumulative [data-when]") == "29 Sep 2018"
    page.keyboard.press("Home")
    assert page.inner_text("#cumulative [data-when]") == "1 Apr 2018"


def test_everything_is_reached_with_the_tab_key(page: Page) -> None:
    """From the top the Tab key comes to the skip link, the charts, their tables and the search, and nowhere twice."""
    seen: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate("(e => e.dataset.chart || e.id || e.tagName + ':' + e.innerText)(document.activeElement)")
        if name.startswith("BODY"):
            break
        seen.append(name)
    assert seen[0] == "A:Skip to the content"
    for name in ("cumulative", "daily", "actions", "queue", "find-id", "BUTTON:Find"):
        assert seen.count(name) == 1
    assert sum(name.startswith("SUMMARY:The numbers") for name in seen) == 6


def test_the_page_fits_a_phone_and_the_dark(page: Page) -> None:
    """On a narrow dark screen nothing is wider than the screen, and charts are drawn again in its colours."""
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 800})
    page.wait_for_function("document.querySelector('#daily canvas').clientWidth < 360")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
    assert page.locator("#daily canvas").evaluate(COLORS_DRAWN) >= 3


def test_without_scripts_the_numbers_are_there(browser: Browser, url: str) -> None:
    """With scripts off, the tables open and hold every day."""
    made = browser.new_context(java_script_enabled=False).new_page()
    made.goto(f"{url}/systems/card-fraud")
    made.click("#daily summary")
    assert made.locator("#daily tbody tr").count() == 183
    assert made.locator("#daily tbody tr").first.is_visible()
    made.close()
