"""Graphs over time as SVG: no script, every line with its own stroke, and all numbers in a table beside it.

The drawing is stretched to its box, so the words of the axes stand beside it as HTML. A gap is a gap, never a zero; a
graph of nothing is a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

WIDTH, HEIGHT, EDGE = 720, 150, 4


@dataclass(frozen=True, slots=True)
class Line:
    """One line: what it is called, and its values (None: nothing is known)."""

    label: str
    values: Sequence[float | None]
    style: str = "one"
    """`one`, `two`, `three`: told apart by their strokes; `bad`: bars."""


@dataclass(frozen=True, slots=True)
class Graph:
    """What the template needs (desk/graph.html)."""

    title: str
    drawing: SafeString
    summary: str
    legend: tuple[tuple[str, str], ...]
    top: str
    bottom: str
    first: str
    middle: str
    last: str
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """(time, the lines' values in words), newest first."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.drawing


def draw(
    *,
    title: str,
    starts: Sequence[datetime],
    step: timedelta,
    lines: Sequence[Line],
    words: Callable[[float], str],
    nothing: str,
    bounds: tuple[float, float] | None = None,
    mark: float | None = None,
) -> Graph:
    """`words` says a value; `nothing` stands where no line has any; `mark` is a promise, drawn across."""
    known = [value for line in lines for value in line.values if value is not None]
    low, high = bounds or (0.0, max(known, default=0.0) or 1.0)
    drawing = _drawing(title, starts, step, lines, words, low, high, mark) if known else mark_safe("")
    say = _clock(step)
    rows = [
        (say(start), tuple("none" if line.values[place] is None else words(line.values[place] or 0) for line in lines))
        for place, start in enumerate(starts)
        if any(line.values[place] is not None for line in lines)
    ]
    return Graph(
        title=title,
        drawing=drawing,
        summary=_summary(lines, words) if known else nothing,
        legend=tuple((line.style, line.label) for line in lines) + ((("mark", "promise"),) if mark is not None else ()),
        top=words(high),
        bottom=words(low),
        first=say(starts[0]) if starts else "",
        middle=say(starts[len(starts) // 2]) if starts else "",
        last=say(starts[-1] + step) if starts else "",
        rows=tuple(reversed(rows)),
    )


def _drawing(
    title: str,
    starts: Sequence[datetime],
    step: timedelta,
    lines: Sequence[Line],
    words: Callable[[float], str],
    low: float,
    high: float,
    mark: float | None,
) -> SafeString:
    count = len(starts)
    parts = [format_html('<path class="graph-grid" d="M0 {}H{}M0 {}H{}"/>', EDGE, WIDTH, HEIGHT - EDGE, WIDTH)]
    if mark is not None:
        parts.append(format_html('<path class="graph-mark" d="M0 {}H{}"/>', f"{_y(mark, low, high):.1f}", WIDTH))
    for line in lines:
        if line.style == "bad":
            parts.append(_bars(line, count, low, high))
        else:
            path = " ".join(_runs(line.values, count, low, high))
            parts.append(format_html('<path class="graph-line graph-{}" d="{}"/>', line.style, path))
    say, width = _clock(step), WIDTH / max(count, 1)
    hover = format_html_join(
        "",
        '<rect class="graph-step" x="{}" y="0" width="{}" height="{}"><title>{}: {}</title></rect>',
        (
            (f"{place * width:.2f}", f"{width:.2f}", HEIGHT, say(start), _spoken(lines, place, words))
            for place, start in enumerate(starts)
            if any(line.values[place] is not None for line in lines)
        ),
    )
    return format_html(
        '<svg class="graph" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}{}</svg>',
        WIDTH,
        HEIGHT,
        title,
        mark_safe("".join(parts)),  # noqa: S308  (escaped above)
        hover,
    )


def _bars(line: Line, count: int, low: float, high: float) -> SafeString:
    width = WIDTH / max(count, 1)
    return format_html_join(
        "",
        '<rect class="graph-bad" x="{}" y="{}" width="{}" height="{}"/>',
        (
            (f"{place * width:.2f}", f"{_y(value, low, high):.1f}", f"{max(width - 0.5, 0.8):.2f}", f"{height:.1f}")
            for place, value in enumerate(line.values)
            if value and (height := max(HEIGHT - EDGE - _y(value, low, high), 1.5))
        ),
    )


def _runs(values: Sequence[float | None], count: int, low: float, high: float) -> list[str]:
    """The stretches without a gap as paths; a step between two gaps is a short dash, else it would not be seen."""
    runs: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((WIDTH * (place + 0.5) / max(count, 1), _y(value, low, high)))
    return [_path(run) for run in runs if run]


def _path(run: Sequence[tuple[float, float]]) -> str:
    if len(run) > 1:
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in run)
    return f"M{run[0][0] - 2:.1f} {run[0][1]:.1f}h4"


def _y(value: float, low: float, high: float) -> float:
    share = (min(max(value, low), high) - low) / ((high - low) or 1)
    return HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * share


def _spoken(lines: Sequence[Line], place: int, words: Callable[[float], str]) -> str:
    said = [(line.label, line.values[place]) for line in lines]
    return ", ".join(f"{label} {words(value)}" for label, value in said if value is not None)


def _summary(lines: Sequence[Line], words: Callable[[float], str]) -> str:
    said = []
    for line in lines:
        known = [value for value in line.values if value is not None]
        if known:
            said.append(f"{line.label}: {words(known[-1])} last, between {words(min(known))} and {words(max(known))}")
    return "; ".join(said) + "."


def _clock(step: timedelta) -> Callable[[datetime], str]:
    pattern = "%H:%M" if step < timedelta(minutes=15) else "%d %b %H:%M" if step < timedelta(days=1) else "%d %b"
    return lambda at: at.strftime(pattern)
