"""The page of limits: each allowance, how much of it is used in the window that ends now, and when the next is free."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from queues.desk import marks, measured, permissions
from queues.engine import limiter
from queues.engine.limiter import RateCounter
from queues.engine.window import SECOND, Window
from queues.monitor import busiest

SUBJECTS = 5
"""The busiest subjects of a limit that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One key as it stands."""

    key: str
    used: int
    limit: int
    promised: int
    free_at: datetime | None
    """From when one more unit is granted; None: now."""
    url: str

    @property
    def full(self) -> bool:
        """Whether the next must wait."""
        return self.free_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """One line of the setting, with the keys that used it last."""

    name: str
    limit: int
    window: str
    uses: tuple[Use, ...]

    @property
    def state(self) -> tuple[str, str]:
        """Shape and word."""
        if any(use.full for use in self.uses):
            return "warning", "Full"
        return ("good", "Free") if self.uses else ("note", "Not used")


def view(request: HttpRequest) -> HttpResponse:
    """All limits; keys name people, so this takes the permission for counters too."""
    if not permissions.may(request.user, "view", RateCounter):
        raise PermissionDenied
    now = timezone.now()
    found = [allowance(name, now=now) for name in sorted(settings.RATE_LIMITS)]
    return measured.page(request, "desk/monitor/limits.html", {"title": "Limits", "allowances": found}, now=now)


def allowance(name: str, *, now: datetime) -> Allowance:
    """A limit of the setting with the keys that are fullest."""
    limit, seconds = limiter.allowance(name)
    uses = [_use(row, limit, seconds, now=now) for row in busiest.keys(name, now=now, seconds=seconds)]
    uses.sort(key=lambda use: (-use.used, use.key))
    return Allowance(
        name=name,
        limit=limit,
        window=marks.span(timedelta(seconds=seconds)),
        uses=tuple(use for use in uses if use.used or use.promised)[:SUBJECTS],
    )


def _use(row: RateCounter, limit: int, seconds: int, *, now: datetime) -> Use:
    window = Window.load(
        limit=limit, length=seconds, slots=row.slots, promises=row.promises or [], was=row.window_seconds
    )
    window.forget(int(now.timestamp() * SECOND))
    free = None
    if not window.allows(ahead=False):
        free = datetime.fromtimestamp(window.begins(window.earliest(ahead=False)) / SECOND, UTC)
    return Use(
        key=row.key,
        used=sum(window.slots.values()),
        limit=limit,
        promised=sum(units for _slot, units in window.promises),
        free_at=free,
        url=f"{reverse('admin:queues_ratecounter_changelist')}?{urlencode({'q': row.key})}",
    )
