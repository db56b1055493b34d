"""What else waits for staff on the start page: other apps say what of theirs needs a decision, and where.

concerns.register(open_problems)    # in AppConfig.ready; called with the request, returns a Concern or None
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest

from queues.desk import bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """`count` of `noun` ("open problems") at `url`, and `words` that say what they are."""

    count: bounded.Count
    noun: str
    words: str
    url: str


type Source = Callable[[HttpRequest], Concern | None]

_sources: list[Source] = []


def register(source: Source) -> None:
    """Ask it at every look at the start page. It checks who looks, and answers None when there is nothing to do."""
    if source not in _sources:
        _sources.append(source)


def of(request: HttpRequest) -> list[Concern]:
    """What waits for who looks."""
    return [concern for source in _sources if (concern := source(request)) is not None]
