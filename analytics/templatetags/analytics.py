"""How the analytics templates write figures, times, badges and charts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django import template
from django.template import loader
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe

from analytics import charts, freshness, periods, words
from analytics.board import Board
from analytics.charts import Point
from analytics.drawn import BODIES
from analytics.figures import FIGURES
from analytics.panels.days import SHOWN
from analytics.panels.values import COLUMNS, SORTS
from analytics.showing import Shown
from queues.engine import log

register = template.Library()
logger = log.get(__name__)

# One shape for each state, in a box of 16 by 16, so that none is told by its colour alone.
RING = 'fill="none" stroke="currentColor" stroke-width="1.8"'
SHAPES = {
    freshness.FRESH: f'<circle cx="8" cy="8" r="6.5" {RING}/><path d="M4.8 8.3l2.3 2.3 4.2-4.8" {RING}/>',
    freshness.REFRESHING: f'<path d="M14 8a6 6 0 1 1-1.9-4.4M12.4 1v3h-3" {RING}/>',
    freshness.STALE: f'<circle cx="8" cy="8" r="6.5" {RING}/><path d="M8 4.2V8l2.8 1.8" {RING}/>',
    freshness.SAVED: f'<path d="M5.5 5.5h8v8h-8zM3 11V3h8" {RING}/>',
    freshness.UNAVAILABLE: f'<path d="M8 1.8l6.6 12H1.4zM8 6v4m0 1.4v1.4" {RING}/>',
    freshness.PREPARING: f'<path d="M4 1.8h8M4 14.2h8M5 1.8c0 4 6 8.4 6 12.4M11 1.8c0 4-6 8.4-6 12.4" {RING}/>',
    freshness.EMPTY: f'<circle cx="8" cy="8" r="6.5" {RING}/><path d="M4.8 8h6.4" {RING}/>',
    "filling": f'<circle cx="8" cy="8" r="6.5" {RING} stroke-dasharray="2.5 2"/>'
    '<path d="M8 3.5a4.5 4.5 0 0 1 0 9z" fill="currentColor"/>',
}
LABELS = dict(zip(SHOWN, ("Impressions", "Clicks", "Conversions", "Spend", "Revenue"), strict=True))
UNITS = dict(zip(SHOWN, ("count", "count", "count", "money", "money"), strict=True))


@register.simple_tag
def badge(state: str, word: str) -> SafeString:
    """A state as shape, word and colour."""
    return format_html(
        '<span class="badge badge-{}"><svg viewBox="0 0 16 16" aria-hidden="true">{}</svg>{}</span>',
        state,
        mark_safe(SHAPES[state]),  # noqa: S308  (ours)
        word,
    )


@register.simple_tag
def figure(given: Mapping[str, Any], currency: str) -> str:
    """A figure by its unit."""
    return words.figure(given["value"], given["unit"], currency)


@register.simple_tag
def amount(value: float | None, unit: str, currency: str) -> str:
    """A number by its unit."""
    return words.figure(value, unit, currency)


@register.simple_tag
def previous(given: Mapping[str, Any], currency: str) -> str:
    """What a figure was before."""
    return words.figure(given["change"]["before"], given["unit"], currency)


@register.filter
def percent(share: float | None) -> str:
    """`12.3 %`, `N/A`."""
    return "N/A" if share is None else f"{share * 100:,.1f} %"


@register.filter
def change(given: Mapping[str, Any]) -> str:
    """`+12.3 %`."""
    return f"{given['share'] * 100:+,.1f} %".replace("-", "−") if given["share"] is not None else ""


@register.filter
def day(text: str) -> str:
    """`7 Nov` for 2026-11-07."""
    known = date.fromisoformat(text)
    return periods.words(known, known)


@register.simple_tag
def clock(moment: datetime, board: Board) -> str:
    """A moment in the campaign's own time."""
    return words.clock(moment, board.header.zone, now=board.now)


@register.filter
def spark(given: Mapping[str, Any]) -> SafeString:
    """A figure's line of days."""
    return charts.spark(given["days"])


@register.simple_tag
def bar(share: float, mark: float | None = None) -> SafeString:
    """A bar of a share."""
    return charts.bar(share or 0, mark=mark)


@register.simple_tag
def lines(shown: Shown) -> list[dict[str, Any]]:
    """The charts of the days: for each measure its drawing, its sentence and the words of its axes."""
    assert shown.payload is not None
    days, currency = shown.payload["days"], shown.payload["currency"]
    found = []
    for place, name in enumerate(shown.payload["measures"]):
        points = [
            Point(
                date.fromisoformat(each["day"]),
                value := each["values"][place] if each["values"] else None,
                "no figures" if value is None else words.figure(value, UNITS[name], currency),
                each["open"],
                each["delayed"],
            )
            for each in days
        ]
        told = charts.summary(points, label=LABELS[name])
        top = max((point.value or 0 for point in points), default=0)
        found.append(
            {
                "label": LABELS[name],
                "summary": told,
                "chart": charts.line(points, label=told),
                "top": words.figure(top, UNITS[name], currency),
                "first": periods.words(points[0].day, points[0].day),
                "last": periods.words(points[-1].day, points[-1].day),
            }
        )
    return found


@register.simple_tag
def day_cells(each: Mapping[str, Any], currency: str) -> list[str]:
    """A row of the days' table."""
    values = each["values"] or [None] * len(SHOWN)
    return [
        "no figures" if value is None else words.figure(value, UNITS[name], currency)
        for name, value in zip(SHOWN, values, strict=True)
    ]


@register.simple_tag(takes_context=True)
def body(context: Any, shown: Shown) -> SafeString:
    """A panel's figures; if drawing them fails, a calm message, and the rest of the page as it is."""
    parts = {"shown": shown, "payload": shown.payload, "header": context["header"]}
    try:
        return BODIES.get(shown.view.key, shown.figures, lambda: loader.render_to_string(shown.panel.template, parts))
    except Exception:  # a bug in one panel's drawing must not take the page
        logger.exception("analytics.drawing_failed", panel=shown.panel.name)
        return mark_safe('<p class="panel-cause">We could not draw this panel. We have been told.</p>')


@register.simple_tag
def options(shown: Shown) -> str:
    """A panel's own options as they follow in an address."""
    return "".join(f"&{urlencode({f'{shown.panel.name}.{name}': text})}" for name, text in shown.view.options.items())


@register.simple_tag(takes_context=True)
def with_option(context: Any, shown: Shown, name: str, value: str) -> str:
    """The page's address with another choice in one panel; another order or kind begins at the first page."""
    chosen = dict(shown.view.options) | {name: value}
    if name != "after":
        chosen.pop("after", None)
    query = "".join(f"&{urlencode({f'{shown.panel.name}.{key}': text})}" for key, text in chosen.items() if text)
    page = reverse("analytics:campaign", args=[context["header"].id])
    return f"{page}?{shown.view.days}{query}#panel-{shown.panel.name}"


@register.filter
def any_delayed(payload: Mapping[str, Any]) -> bool:
    """Whether figures were late on one of the days."""
    return any(each["delayed"] for each in payload["days"])


@register.filter
def words_of(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


@register.filter
def columns(payload: Mapping[str, Any]) -> list[dict[str, str]]:
    """The columns of a breakdown, and by which of them it can be sorted."""
    found = []
    for name in COLUMNS:
        over = FIGURES[name].over if not FIGURES[name].under else ""
        found.append({"label": FIGURES[name].label, "sort": over if over in SORTS else ""})
    return found
