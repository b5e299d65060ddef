"""A real browser for tests: Debian's chromium, without a window, driven by Playwright."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """The browser; the test is skipped where there is none, and says what is missing."""
    driver = pytest.importorskip(
        "playwright.sync_api", reason="no browser tests without playwright (group test)"
    )
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no browser tests without chromium: apt-get install chromium")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # chromium refuses root otherwise
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*sandbox, "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """One page in a context of its own, and what it asked for and complained of."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.url = url
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def __enter__(self) -> Visit:
        self.page.goto(self.url)
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def text(self, selector: str) -> str:
        text: str = self.page.locator(selector).first.inner_text()
        return text

    def until(self, selector: str, text: str) -> None:
        """Wait until an element has a text in it."""
        self.page.locator(selector, has_text=text).first.wait_for()

    def until_true(self, expression: str) -> None:
        """Wait until an expression is true: the driver's own way to wait for that is against the policy."""
        for _ in range(200):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"never true: {expression}")

    def look_now(self) -> None:
        """Have the page ask at once, as it does when its tab is shown again."""
        self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
