"""A picture of a running collector's page: light, 1440 wide. `python tests/support/picture.py URL FILE`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HEIGHT = 900


def take_picture(
    url: str, out: Path, width: int = 1440, scheme: Literal["light", "dark"] = "light", height: int | None = None
) -> None:
    """Write a PNG of the page at `url`, all of it or its first `height` pixels."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": width, "height": height or HEIGHT}, color_scheme=scheme)
        page.goto(url, wait_until="load")
        page.wait_for_selector("#statement", timeout=10_000)
        page.screenshot(path=out, full_page=height is None)
        browser.close()


if __name__ == "__main__":
    take_picture(sys.argv[1], Path(sys.argv[2]))
