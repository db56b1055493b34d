"""Small charts as SVG: readable without script, drawn in the text's colour, with their numbers in words."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT = 120, 28


def bars(numbers: Sequence[int], *, words: str) -> SafeString:
    """One bar a number, all of one scale; `words` is what a screen reader says of it."""
    most = max(numbers, default=0) or 1
    step = WIDTH / max(len(numbers), 1)
    drawn = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"/>',
        (
            (f"{place * step:.1f}", f"{HEIGHT - height:.1f}", f"{max(step - 1, 1):.1f}", f"{height:.1f}")
            for place, number in enumerate(numbers)
            if (height := max(number / most * (HEIGHT - 2), 1.5 if number else 0.5))
        ),
    )
    return _svg("desk-bars", drawn, words)


def lines(*series: tuple[str, Sequence[int]], words: str) -> SafeString:
    """A line a series, all on one scale: (class name, its numbers)."""
    most = max((number for _, numbers in series for number in numbers), default=0) or 1
    drawn = format_html_join(
        "",
        '<polyline class="{}" points="{}" vector-effect="non-scaling-stroke"/>',
        (
            (
                name,
                " ".join(
                    f"{place * WIDTH / max(len(numbers) - 1, 1):.1f},{HEIGHT - 2 - number / most * (HEIGHT - 4):.1f}"
                    for place, number in enumerate(numbers)
                ),
            )
            for name, numbers in series
        ),
    )
    return _svg("desk-lines", drawn, words)


def _svg(name: str, drawn: SafeString, words: str) -> SafeString:
    return format_html(
        '<svg class="{}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        name,
        WIDTH,
        HEIGHT,
        words,
        drawn,
    )
