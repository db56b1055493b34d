"""The pages of service levels: all promises at once, one of them, and the items that spent its budget."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from queues.desk import levels, measured, ranges
from queues.monitor import histogram, objective, reading, recovery
from queues.monitor.models import Incident, SloHour, Watermark
from queues.monitor.objective import HOUR, Objective, Spender
from queues.monitor.reading import Counted

SPENDERS = 50
HOURS = 12
"""Hours with bad ones that are looked into."""
INCIDENTS = 20
MONTH = timedelta(days=30)


def overview(request: HttpRequest) -> HttpResponse:
    """All promises, the incidents, and how long errors last."""
    now = timezone.now()
    found = levels.levels(now=now)
    groups: dict[str, list[levels.Level]] = {}
    for each in found:
        groups.setdefault(each.objective.capability, []).append(each)
    incidents = Incident.objects.filter(started_at__gte=now - MONTH).order_by("-started_at", "-id")
    context = {
        "title": "Service levels",
        "groups": list(groups.items()),
        "counted_until": _counted_until(found),
        "incidents": list(incidents[:INCIDENTS]),
        "recovery": recovery.times(start=now - MONTH, end=now, now=now),
        "open_spells": measured.spells(now=now),
        "beside": [_beside(each, now) for each in objective.everything() if each.beside],
    }
    return measured.page(request, "desk/monitor/levels.html", context, now=now)


def one(request: HttpRequest, key: str) -> HttpResponse:
    """One promise: what it means, how it went in the range, and what spent its budget."""
    now, each = timezone.now(), _objective(key)
    within = ranges.read(request.GET.dict(), now=now)
    steps = reading.series(each.key, start=within.start, end=within.end, step=within.step)
    total = reading.over(each.key, start=within.start, end=within.end)
    shown = [levels.share_graph(each, steps, within), levels.count_graph(each, steps, within)]
    if each.target is not None:
        shown.insert(1, levels.budget_graph(each, within))
    if total.histogram:
        shown.append(levels.latency_graph(each.name, steps, within))
    spenders = _spenders(each, within, now=now)
    context = {
        "title": each.name,
        "objective": each,
        "target": levels.percent(each.target) if each.target else "",
        "range": within,
        "total": total,
        "share": levels.percent(total.share),
        "missed": total.share is not None and each.target is not None and total.share < each.target,
        "spent": _spent(each, total),
        "percentiles": _percentiles(total),
        "graphs": shown,
        "spenders": spenders,
        "more": total.bad > len(spenders),
        "items_url": f"{reverse('monitor:items', args=[each.key])}?{within.query}",
        "listed": bool(spenders) and bool(each.source.link(spenders)),
        "mark": Watermark.objects.filter(objective=each.key).first(),
    }
    return measured.page(request, "desk/monitor/objective.html", context, now=now)


def items(request: HttpRequest, key: str) -> HttpResponse:
    """Straight to the desk's list of exactly the items that spent the budget of the range."""
    now, each = timezone.now(), _objective(key)
    within = ranges.read(request.GET.dict(), now=now)
    address = each.source.link(_spenders(each, within, now=now))
    return redirect(address or f"{reverse('monitor:objective', args=[each.key])}?{within.query}")


def _counted_until(found: Sequence[levels.Level]) -> datetime | None:
    """Up to where every promise is counted."""
    marks = Watermark.objects.filter(objective__in=[each.objective.key for each in found])
    return marks.order_by("counted_until").values_list("counted_until", flat=True).first()


def _objective(key: str) -> Objective:
    try:
        return objective.get(key)
    except LookupError:
        raise Http404 from None


def _spenders(each: Objective, within: ranges.Range, *, now: datetime) -> list[Spender]:
    """The newest; only hours that hold bad ones are looked into, so that a month of good rows costs nothing."""
    hours = SloHour.objects.filter(
        objective=each.key, bad__gt=0, hour__gte=objective.hour_of(within.start), hour__lt=within.end
    ).order_by("-hour")
    found: list[Spender] = []
    for hour in hours.values_list("hour", flat=True)[:HOURS]:
        start, end = max(hour, within.start), min(hour + HOUR, within.end)
        found += each.source.spenders(start, end, now=now, limit=SPENDERS - len(found))
        if len(found) >= SPENDERS:
            break
    return found


def _spent(each: Objective, total: Counted) -> str:
    if each.target is None or not total.eligible:
        return ""
    allowed = total.eligible * (1 - each.target)
    return f"{total.bad:,} of {allowed:,.1f} that the promise allows of this traffic"


def _percentiles(total: Counted) -> list[tuple[str, str]]:
    found = [(label, histogram.percentile(total.histogram, share)) for share, label, _ in levels.PERCENTILES]
    found.insert(1, ("p90", histogram.percentile(total.histogram, 0.9)))
    return [(label, levels.lasting(length.total_seconds())) for label, length in found if length is not None]


def _beside(each: Objective, now: datetime) -> tuple[Objective, str, str, str]:
    counted = reading.sums(now=now, lengths=[timedelta(days=7)]).get(each.key, {}).get(timedelta(days=7), Counted())
    url = reverse("monitor:objective", args=[each.key])
    return each, levels.percent(counted.share), f"{counted.eligible:,}", url
