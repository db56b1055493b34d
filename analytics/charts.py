"""Charts as SVG made here: no script, readable on paper and in the dark; colours and strokes stand in the style sheet.

The drawing is stretched to its box, so the words of the axes stand beside it as HTML and stay readable at any width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from analytics import periods

WIDTH, HEIGHT, TOP = 600, 160, 8
HATCH = 8


@dataclass(frozen=True, slots=True)
class Point:
    """A day: its number (None: a gap, never a zero), the number in words, whether the day is still open, and whether
    figures came late then.
    """

    day: date
    value: float | None
    words: str
    open: bool = False
    delayed: bool = False


def line(points: Sequence[Point], *, label: str) -> SafeString:
    """A line over days with a filled ground; the way to the open day is dashed."""
    if not points:
        return mark_safe("")
    top = max((point.value or 0 for point in points), default=0) or 1
    spots = [
        (_x(place, len(points)), None if point.value is None else _y(point.value, top))
        for place, point in enumerate(points)
    ]
    closed = [spot for spot, point in zip(spots, points, strict=True) if not point.open]
    paths = [format_html('<path class="chart-ground" d="{}"/>', _ground(run)) for run in _runs(spots)]
    paths += [format_html('<path class="chart-line" d="{}"/>', _path(run)) for run in _runs(closed)]
    if any(point.open for point in points):
        last = [spot for spot in spots[max(len(closed) - 1, 0) :] if spot[1] is not None]
        paths.append(format_html('<path class="chart-line chart-open" d="{}"/>', _path(last)))
    step = WIDTH / len(points)
    paths += [
        format_html('<path class="chart-late" d="{}"/>', _hatch(place * step, step))
        for place, point in enumerate(points)
        if point.delayed
    ]
    hover = format_html_join(
        "",
        '<rect class="chart-day" x="{}" y="0" width="{}" height="{}"><title>{}: {}</title></rect>',
        (
            (f"{place * step:.1f}", f"{step:.1f}", HEIGHT, _day(point), _told(point))
            for place, point in enumerate(points)
        ),
    )
    return format_html(
        '<svg class="chart" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path class="chart-grid" d="M0 {}H{}M0 {}H{}"/>{}{}</svg>',
        WIDTH,
        HEIGHT,
        label,
        TOP,
        WIDTH,
        HEIGHT - 1,
        WIDTH,
        mark_safe("".join(paths)),  # noqa: S308  (escaped above)
        hover,
    )


def spark(values: Sequence[float | None]) -> SafeString:
    """A small line beside a figure; the figure says it in words, so it is hidden from screen readers."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return mark_safe("")
    top = max(known) or 1
    spots = [(_x(place, len(values)), None if value is None else _y(value, top)) for place, value in enumerate(values)]
    paths = [format_html('<path class="chart-line" d="{}"/>', _path(run)) for run in _runs(spots)]
    return format_html(
        '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}</svg>',
        WIDTH,
        HEIGHT,
        mark_safe("".join(paths)),  # noqa: S308  (escaped above)
    )


def bar(share: float, *, mark: float | None = None) -> SafeString:
    """A horizontal bar of a share of 1, and where it should be by now. What it says stands beside it in words."""
    width = min(max(share, 0.0), 1.0) * WIDTH
    tick = (
        format_html('<path class="bar-mark" d="M{} 0V24"/>', f"{min(max(mark, 0.0), 1.0) * WIDTH:.1f}")
        if mark is not None
        else ""
    )
    return format_html(
        '<svg class="bar" viewBox="0 0 {} 24" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="bar-ground" width="{}" height="24"/><rect class="bar-filled" width="{}" height="24"/>{}</svg>',
        WIDTH,
        WIDTH,
        f"{width:.1f}",
        tick,
    )


def summary(points: Sequence[Point], *, label: str) -> str:
    """What a line shows, in one sentence."""
    known = [point for point in points if point.value is not None and not point.open]
    today = next((point for point in points if point.open and point.value is not None), None)
    so_far = f" Today so far: {today.words}." if today else ""
    if not known:
        return f"{label}: no full day yet.{so_far}"
    highest = max(known, key=lambda point: point.value or 0)
    first, last = known[0], known[-1]
    if not highest.value:
        return f"{label}: zero on every full day.{so_far}"
    way = "steady" if first.value == last.value else "up" if (last.value or 0) > (first.value or 0) else "down"
    return (
        f"{label}: {way}, {first.words} on {_day(first)} and {last.words} on {_day(last)}; "
        f"most on {_day(highest)} with {highest.words}.{so_far}"
    )


def _told(point: Point) -> str:
    return f"{point.words}; figures were delayed that day" if point.delayed else point.words


def _hatch(left: float, width: float) -> str:
    """Slanted strokes over the height of a day, each within its column."""
    feet = range(HEIGHT, round(width), -HATCH)
    return "".join(f"M{left:.1f} {foot}l{width:.1f} {-width:.1f}" for foot in feet)


def _day(point: Point) -> str:
    return periods.words(point.day, point.day)


def _x(place: int, count: int) -> float:
    return WIDTH * (place + 0.5) / count


def _y(value: float, top: float) -> float:
    return HEIGHT - 1 - (HEIGHT - 1 - TOP) * max(value, 0) / top


def _runs(spots: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float | None]]]:
    """The stretches without a gap."""
    runs: list[list[tuple[float, float | None]]] = [[]]
    for spot in spots:
        if spot[1] is None:
            runs.append([])
        else:
            runs[-1].append(spot)
    return [run for run in runs if run]


def _path(run: Sequence[tuple[float, float | None]]) -> str:
    if len(run) == 1:  # a day between two gaps is a short dash, else it would not be seen
        x, y = run[0]
        return f"M{x - 3:.1f} {y:.1f}H{x + 3:.1f}"
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in run)


def _ground(run: Sequence[tuple[float, float | None]]) -> str:
    return f"{_path(run)}V{HEIGHT}H{run[0][0]:.1f}Z" if len(run) > 1 else ""
