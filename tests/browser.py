"""A real Chromium for the tests of pages, or the reason why there is none."""

import os
import shutil
from contextlib import contextmanager

__all__ = ["Looked", "browser", "missing"]

#: The names under which distributions install it.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

INSTALL = "the pages are NOT looked at: {} (apt-get install chromium, then make pages)"


def found():
    """The path of Chromium; None if it is not installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def missing():
    """The reason why no page can be looked at; None if one can."""
    if found() is None:
        return INSTALL.format("there is no Chromium")
    try:
        import axe_playwright_python.sync_playwright  # noqa: F401 - whether it is there
    except ModuleNotFoundError as error:
        return INSTALL.format(f"the Python package {error.name} is missing")
    return None


@contextmanager
def browser():
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    # The sandbox of Chromium does not work for root, and tests in containers run as root.
    args = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found(), args=args)
        yield opened
        opened.close()


class Looked:
    """A page that is open, and what was wrong with it so far."""

    def __init__(self, opened, path, *, width=1280, dark=False, scripts=True):
        from axe_playwright_python.sync_playwright import Axe

        self._axe = Axe()
        self.page = opened.new_page(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        self.wrong = []
        self.page.on("console", lambda said: self.wrong.append(f"console: {said.text}"))
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.goto(path.as_uri())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.page.close()

    def change(self, *, width, dark):
        """Gives the window another width, and the system other colours."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme="dark" if dark else "light")

    def problems(self):
        """The faults that the console, the width and axe-core find in the page as it is now."""
        wide, window = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        scrolls = [f"scrolls sideways: {wide} of {window} pixels"] if wide > window else []
        found = self._axe.run(self.page, options={"resultTypes": ["violations"]}).response
        axe = [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found["violations"]]
        return [*self.wrong, *scrolls, *axe]
