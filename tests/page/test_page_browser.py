"""The page in a real browser: accessible, quiet, refreshing itself, safe against hostile names."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import picture
import pytest
from axe_playwright_python.sync_playwright import Axe
from chain import Bench
from pages import Served, fill, heat
from playwright.sync_api import Browser, Page

from protocols.reading import TimeQuality
from protocols.uplink.records import Event, When

HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "\u202eabc\u202d\u05de\u05d3",
    "W" * 64,
    "'; DROP TABLE reading; --",
)


def opened(browser: Browser, url: str, width: int = 1440, scheme: Literal["light", "dark"] = "light") -> Page:
    """The page in a profile of its own, loaded."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(url, wait_until="load")
    return page


def serious(page: Page) -> list[str]:
    """The ids of what axe-core calls serious or critical."""
    found = Axe().run(page).response["violations"]
    return [each["id"] for each in found if each["impact"] in ("serious", "critical")]


def wide(page: Page) -> bool:
    """Whether the page scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_is_in_the_way_of_anybody(
    browser: Browser, served: Served, bench: Bench, width: int, scheme: Literal["light", "dark"]
) -> None:
    """No serious or critical violation in the good and the bad case, everything opened, no sideways scrolling."""
    page = opened(browser, served.url, width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert serious(page) == []
    assert not wide(page)
    bench.feed(b"noise")
    bench.store._connection.execute("UPDATE reading SET sealed = x'00' WHERE how = 0")
    bench.now_ms += 10_000_000
    page.goto(served.url)
    assert serious(page) == []
    assert not wide(page)
    page.close()


def test_a_planted_violation_is_found(browser: Browser, served: Served) -> None:
    """The check above can fail."""
    page = opened(browser, served.url)
    page.evaluate("document.body.append(Object.assign(document.createElement('img'), {src: '/static/icon.svg'}))")
    page.evaluate("document.querySelector('h1').style.color = '#fafafa'")
    assert {"image-alt", "color-contrast"} <= set(serious(page))
    page.close()


def test_nobody_else_is_asked_for_anything_and_the_policy_is_kept(browser: Browser, served: Served) -> None:
    """Every request goes to the collector; the console stays silent over refreshes."""
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(served.url)
    page.wait_for_timeout(4_500)
    assert [url for url in asked if not url.startswith(served.url)] == []
    assert len([url for url in asked if "/fragment" in url]) >= 2
    assert said == []
    page.close()


def test_a_new_reading_appears_by_itself(browser: Browser, served: Served, bench: Bench) -> None:
    """No reload; what is open stays open, what has the focus keeps it, the place does not move."""
    page = opened(browser, served.url, 1440)
    card = page.locator("article", has_text="heat-cellar")
    card.locator("summary").first.click()
    card.locator("summary").first.focus()
    before = page.evaluate("window.scrollY")
    bench.now_ms += 900_000
    bench.take(bench.chain.seal([heat(77)]))
    page.get_by_text("1\u202f077\u202f000").first.wait_for(timeout=8_000)
    assert card.locator("details[open]").count() == 1
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert page.evaluate("window.scrollY") == before
    page.close()


def test_when_the_collector_is_away_the_page_says_since_when(browser: Browser, bench: Bench, tmp_path: Path) -> None:
    """And it forgets it when it answers again."""
    fill(bench, 2)
    with Served(bench, tmp_path) as site:
        page = opened(browser, site.url)
        page.route("**/fragment*", lambda route: route.abort())
        page.get_by_text("No answer from the collector since").wait_for(timeout=8_000)
        page.unroute("**/fragment*")
        page.locator("#away").wait_for(state="hidden", timeout=8_000)
        page.close()


def test_hostile_names_neither_run_nor_break_the_page(browser: Browser, bench: Bench, tmp_path: Path) -> None:
    """Markup, templates, other directions of writing, long words: text, all of them."""
    readings = [
        dataclasses.replace(heat(1, name, nth), meter=dataclasses.replace(heat(1).meter, id=name[:32]))
        for nth, name in enumerate(HOSTILE, 1)
    ]
    bench.take(bench.chain.seal(readings))
    with Served(bench, tmp_path) as site:
        page = browser.new_page(viewport={"width": 360, "height": 800})
        alerts: list[str] = []
        page.on("dialog", lambda dialog: alerts.append(dialog.message))
        page.goto(site.url)
        page.wait_for_timeout(500)
        assert alerts == []
        assert "owned" not in page.title()
        assert page.locator("main img").count() == 0
        shown = page.locator("article.meter h3").all_inner_texts()
        assert sorted(shown) == sorted(HOSTILE)
        assert not wide(page)
        page.close()


@pytest.mark.parametrize("width", [360, 1440])
def test_failing_buses_and_devices_are_in_nobodys_way(
    browser: Browser, bench: Bench, tmp_path: Path, width: int
) -> None:
    """Whatever they are called: no violation, no sideways scrolling, and the names are text."""
    fill(bench, 2)
    at = When(bench.now_ms, 9, TimeQuality(True, 20))
    failed = [Event(at, "poll-failed", None, name, (name, "PLB-M101", name)) for name in ("heat-attic", *HOSTILE)]
    bench.take(bench.chain.seal(records=[*failed, Event(at, "bus-failed", None, None, ("bus-1", "PLB-L101", "raw"))]))
    with Served(bench, tmp_path) as site:
        page = opened(browser, site.url, width)
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        assert serious(page) == []
        assert not wide(page)
        assert "owned" not in page.title()
        assert set(HOSTILE) <= set(page.locator("article.meter h3").all_inner_texts())
        page.close()


def test_keys_reach_everything(browser: Browser, served: Served) -> None:
    """The first tab offers to skip the navigation; summaries open with the space bar."""
    page = opened(browser, served.url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("summary").first.focus()
    page.keyboard.press("Space")
    assert page.locator("details[open]").count() == 1
    page.close()


def test_without_javascript_the_page_reloads_itself(browser: Browser, served: Served) -> None:
    """A meta refresh for those browsers only."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(served.url)
    assert page.locator("#statement").inner_text().startswith("6 meters of 2 gateways read within their time")
    _, _, text = served.ask("/")
    assert re.search(r'<noscript><meta http-equiv="refresh" content="\d+"></noscript>', text)
    context.close()


def test_a_picture_of_the_page_can_be_taken(served: Served, tmp_path: Path) -> None:
    """As for the README."""
    program = [sys.executable, str(Path(picture.__file__)), served.url, str(tmp_path / "page.png")]
    subprocess.run(program, check=True, timeout=60)
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
