"""`{% badge %}`, `{% moment %}` and `|number`: what `queues.desk.marks` draws, for templates."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString

from queues.desk import levels, marks

register = template.Library()


@register.simple_tag
def badge(shape: str, word: str = "") -> SafeString:
    """A state as word, shape and colour."""
    return marks.badge(shape, str(word) or shape.replace("_", " ").capitalize())


@register.simple_tag(takes_context=True)
def moment(context: template.Context, at: datetime | None) -> SafeString:
    """A moment relative to the page's own `now`."""
    now: Any = context.get("now")
    return marks.moment(at, now=now or timezone.now())


@register.filter
def number(count: int) -> str:
    """A whole number with its thousands apart."""
    return f"{count:,}"


@register.filter
def lasting(length: timedelta) -> str:
    """A length of time for people: `38 ms`, `1.4 s`, `12.0 min`."""
    return levels.lasting(length.total_seconds())
