"""How the desk draws what it says often: a state as word, shape and colour; a moment as "3 min ago" with its date."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

# One shape each, so that no state is told by its colour alone. Drawn in a box of 16 by 16.
SHAPES = {
    "pending": '<circle cx="8" cy="8" r="5.5" fill="none" stroke="currentColor" stroke-width="2"/>',
    "retrying": '<path d="M13 8a5 5 0 1 1-1.6-3.7M13 1.5v3.4H9.6" fill="none" stroke="currentColor" stroke-width="2"/>',
    "processing": '<path d="M4 2.5v11l9-5.5z" fill="currentColor"/>',
    "succeeded": '<path d="M2.5 8.5l3.6 3.7L13.5 4" fill="none" stroke="currentColor" stroke-width="2.4"/>',
    "cancelled": '<path d="M3 8h10" stroke="currentColor" stroke-width="2.6"/>',
    "dead_letter": '<path d="M3.5 3.5l9 9m0-9l-9 9" stroke="currentColor" stroke-width="2.6"/>',
    "purged": '<path d="M2.5 4.5h11M6 4V2.5h4V4M4 5l.8 8.5h6.4L12 5" fill="none" stroke="currentColor"'
    ' stroke-width="1.8"/>',
    "paused": '<path d="M4.5 3v10m7-10v10" stroke="currentColor" stroke-width="3"/>',
    "good": '<path d="M2.5 8.5l3.6 3.7L13.5 4" fill="none" stroke="currentColor" stroke-width="2.4"/>',
    "warning": '<path d="M8 2l6.5 12h-13z" fill="none" stroke="currentColor" stroke-width="1.8"/>'
    '<path d="M8 6.5v3.5m0 1v1.6" stroke="currentColor" stroke-width="1.8"/>',
    "bad": '<path d="M3.5 3.5l9 9m0-9l-9 9" stroke="currentColor" stroke-width="2.6"/>',
    "person": '<circle cx="8" cy="5" r="2.8" fill="currentColor"/>'
    '<path d="M2.5 14a5.5 5 0 0 1 11 0z" fill="currentColor"/>',
    "note": '<circle cx="8" cy="8" r="3" fill="currentColor"/>',
}
STEPS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def badge(shape: str, word: str) -> SafeString:
    """A word with the shape and colour of `shape` (a state, or one of `SHAPES`)."""
    return format_html(
        '<span class="badge badge-{}"><svg viewBox="0 0 16 16" aria-hidden="true">{}</svg>{}</span>',
        shape if shape in SHAPES else "note",
        mark_safe(SHAPES.get(shape, SHAPES["note"])),  # noqa: S308  (ours)
        word,
    )


def moment(at: datetime | None, *, now: datetime) -> SafeString:
    """`3 min ago` or `in 5 s`, with the exact time as its title."""
    if at is None:
        return nothing()
    gap = at - now
    words = f"in {span(gap)}" if gap >= timedelta(seconds=1) else f"{span(-gap)} ago" if gap < timedelta() else "now"
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>', at.isoformat(), at.strftime("%Y-%m-%d %H:%M:%S"), words
    )


def exactly(at: datetime | None, *, now: datetime) -> SafeString:
    """The same with the exact time in sight, for a page of facts."""
    if at is None:
        return nothing()
    return format_html("{} ({} UTC)", moment(at, now=now), at.strftime("%Y-%m-%d %H:%M:%S"))


def nothing() -> SafeString:
    """Says that there is nothing to say."""
    return mark_safe('<span class="nothing" aria-label="none">–</span>')


def span(gap: timedelta) -> str:
    """A length of time in its largest unit: `0 s`, `42 s`, `3 min`, `5 h`, `12 d`."""
    seconds = max(int(gap.total_seconds()), 0)
    for unit, size in STEPS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return "0 s"
