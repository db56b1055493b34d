"""The public status: what customers may know of each capability now and over 90 days, and the incidents.

Words and colours of days, no volumes, no names, nothing of single people; only with STATUS_PAGE. It is the same for
everybody, so what was found is kept for half a minute, and a crowd that comes in an outage costs one look.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db.models import Q, Sum
from django.db.models.functions import TruncDay
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_safe

from queues.monitor import objective, reading
from queues.monitor.models import Incident, SloHour
from queues.monitor.objective import HOUR, Objective
from queues.monitor.reading import Counted

DAYS = 90
KEPT_SECONDS = 30
KEY = "monitor.status"
BAD_LEAST = 3
"""Fewer failures in an hour say nothing about a capability."""
DOWN = 0.5
"""Less than that share good is not working."""
INCIDENTS = 30
WORDS = {"good": "Working", "degraded": "Degraded", "down": "Not working", "none": "No data"}
DAY_WORDS = {
    "good": "as promised",
    "degraded": "below the promise",
    "down": "mostly not working",
    "none": "nothing to do",
}
SHAPES = {"good": "good", "degraded": "warning", "down": "bad", "none": "note"}
ORDER = ("none", "good", "degraded", "down")


@dataclass(frozen=True, slots=True)
class Day:
    """How one day went."""

    day: date
    state: str

    @property
    def words(self) -> str:
        """For people."""
        return DAY_WORDS[self.state]


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing customers rely on."""

    name: str
    state: str
    days: tuple[Day, ...]

    @property
    def words(self) -> str:
        """Its state now."""
        return WORDS[self.state]

    @property
    def shape(self) -> str:
        """So that no state is told by its colour alone."""
        return SHAPES[self.state]

    @property
    def summary(self) -> str:
        """Its history in one sentence."""
        known = [day for day in self.days if day.state != "none"]
        if not known:
            return "Nothing is known of the last 90 days yet."
        kept = sum(day.state == "good" for day in known)
        return f"As promised on {kept} of {len(known)} days."

    @property
    def troubles(self) -> list[Day]:
        """The days that were not as promised, newest first."""
        return [day for day in reversed(self.days) if day.state in ("degraded", "down")]


@require_safe
def view(request: HttpRequest) -> HttpResponse:
    """The page; 404 unless it is switched on."""
    if not settings.STATUS_PAGE:
        raise Http404
    found = cache.get(KEY)
    if found is None:
        found = look(now=timezone.now())
        cache.set(KEY, found, KEPT_SECONDS)
    # Without the request: the page is nobody's, so that any cache may keep it.
    response = HttpResponse(render_to_string("status/status.html", found))
    response["Cache-Control"] = f"public, max-age={KEPT_SECONDS}"
    return response


def look(*, now: datetime) -> dict[str, Any]:
    """Everything the page says."""
    capabilities = _capabilities(now=now)
    open_ones = Q(ended_at__isnull=True)
    incidents = Incident.objects.filter(published=True).filter(
        open_ones | Q(started_at__gte=now - timedelta(days=DAYS))
    )
    worst = max((each.state for each in capabilities), key=ORDER.index, default="none")
    return {
        "now": now,
        "capabilities": capabilities,
        "incidents": list(incidents.order_by("-started_at", "-id")[:INCIDENTS]),
        "worst": worst,
        "shape": SHAPES[worst],
        "headline": {
            "none": "Nothing has been measured yet",
            "good": "Everything works",
            "degraded": "Some things are slower or less reliable than usual",
            "down": "Some things do not work",
        }[worst],
        "days": DAYS,
    }


def _capabilities(*, now: datetime) -> list[Capability]:
    public = [each for each in objective.promised() if each.public]
    hour = reading.sums(now=now, lengths=[HOUR])
    days = _days(public, now=now)
    affected = set(Incident.objects.filter(published=True, ended_at__isnull=True).values_list("capability", flat=True))
    names = dict.fromkeys(each.capability for each in public)
    today = now.date()
    dates = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    found = []
    for name in names:
        mine = [each for each in public if each.capability == name]
        past = tuple(Day(day, _worst(_state(each, days.get((each.key, day))) for each in mine)) for day in dates)
        current = _worst(_state(each, hour.get(each.key, {}).get(HOUR)) for each in mine)
        if name in affected and current != "down":
            current = "degraded"
        if current == "none":  # nothing to do in an hour is no trouble
            current = "good" if any(day.state != "none" for day in past) else "none"
        found.append(Capability(name, current, past))
    return found


def _days(public: list[Objective], *, now: datetime) -> dict[tuple[str, date], Counted]:
    rows: Iterable[Any] = (
        SloHour.objects.filter(hour__gte=now - timedelta(days=DAYS), objective__in=[each.key for each in public])
        .annotate(day=TruncDay("hour"))
        .values("objective", "day")
        .order_by()
        .annotate(good=Sum("good"), bad=Sum("bad"))
        .values_list("objective", "day", "good", "bad")
    )
    return {(key, day.date()): Counted(good, bad) for key, day, good, bad in rows}


def _state(each: Objective, counted: Counted | None) -> str:
    if counted is None or counted.share is None or each.target is None:
        return "none"
    if counted.bad < BAD_LEAST or counted.share >= each.target:
        return "good"
    return "down" if counted.share < DOWN else "degraded"


def _worst(states: Iterable[str]) -> str:
    return max(states, key=ORDER.index, default="none")
