"""What axe-core finds on a page that is open in the browser; for the browser tests of every room."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Page

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
COLOURS = ("color-contrast",)
"""All that the other colour scheme changes."""


@functools.cache
def _axe() -> Axe:
    return Axe()


def violations(page: Page, *, rules: Sequence[str] = RULES) -> list[str]:
    """One line for each rule of WCAG 2.2 AA (and axe's own advice) that the page breaks: what, how badly and where."""
    options = {"runOnly": list(rules), "resultTypes": ["violations"]}
    found = _axe().run(page, options=options).response["violations"]
    return [f"{one['impact']}: {one['id']}: {[node['target'] for node in one['nodes']][:5]}" for one in found]
