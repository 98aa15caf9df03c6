"""A headless Chromium for the tests, which may reach nothing but files and this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_LOCAL = ("file:", "data:", "blob:", "about:", "http://127.0.0.1", "http://localhost")


@dataclass
class Window:
    """A page, and what went wrong on it."""

    page: Any
    errors: list[str] = field(default_factory=list)  # console errors and uncaught exceptions
    refused: list[str] = field(default_factory=list)  # addresses elsewhere that it asked for


def executable() -> str | None:
    """Return the path of a Chromium, if there is one."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


needs_browser = pytest.mark.skipif(executable() is None, reason="needs Chromium (Debian: apt-get install chromium)")


@contextmanager
def window(*, width: int = 1280, height: int = 900, **options: Any) -> Iterator[Window]:
    """Open an empty page; `options` are those of Playwright's `new_page`."""
    sync_api = pytest.importorskip("playwright.sync_api")
    os.environ.setdefault("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")
    with sync_api.sync_playwright() as playwright:
        # without a GPU, WebGL is drawn by software
        arguments = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
        browser = playwright.chromium.launch(executable_path=executable(), headless=True, args=arguments)
        try:
            page = browser.new_page(viewport={"width": width, "height": height}, **options)
            found = Window(page)
            page.on("pageerror", lambda error: found.errors.append(str(error)))
            page.on("console", lambda m: found.errors.append(m.text) if m.type == "error" else None)

            def local_only(route: Any) -> None:
                if route.request.url.startswith(_LOCAL):
                    route.continue_()
                else:
                    found.refused.append(route.request.url)
                    route.abort()

            page.route("**/*", local_only)
            yield found
        finally:
            browser.close()
