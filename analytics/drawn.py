"""Panels that were drawn before: the same figures in the same view make the same HTML, most of what a page costs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from django.utils.safestring import SafeString

KEPT = 256
"""Panels a process remembers: about 30 kB each, the least lately used go first."""


class Drawn:
    """Keyed by view and hash of the figures, so nothing in it can be out of date."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], SafeString] = OrderedDict()

    def get(self, view: str, figures: str, draw: Callable[[], SafeString]) -> SafeString:
        """The HTML of these figures in this view. `figures` is their hash; "": not known, so drawn and forgotten."""
        if not figures:
            return draw()
        key = (view, figures)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        made = draw()  # outside the lock: two readers may draw the same once
        with self._lock:
            self._known[key] = made
            while len(self._known) > self._kept:
                self._known.popitem(last=False)
        return made

    def forget(self) -> None:
        """Forget everything (tests)."""
        with self._lock:
            self._known.clear()


BODIES = Drawn()
"""This process's own."""
