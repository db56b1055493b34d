"""What `/metrics` tells, read from rollups and samples alone: five statements, whatever the size of the tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Case, CharField, F, Sum, Value, When
from django.db.models.functions import Concat
from django_q.models import Schedule
from prometheus_client.core import GaugeMetricFamily, Metric

from queues.engine import recurring
from queues.engine.breaker import THRESHOLD, Breaker
from queues.engine.heartbeats import Heartbeat
from queues.monitor import burn, histogram, objective
from queues.monitor.burn import Counts
from queues.monitor.models import Alert, QueueMinute, SloHour, SloMinute

SAMPLED = timedelta(minutes=10)
"""An older sample says nothing of how a queue stands."""
LATENCY = timedelta(minutes=5)
HOURS_KEPT_SECONDS = 600.0
FINE = timedelta(hours=6)
"""Up to so long ago windows are cut to the minute, before that to the hour."""
WINDOWS = {
    "5m": timedelta(minutes=5),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "1d": timedelta(days=1),
    "3d": timedelta(days=3),
    "30d": timedelta(days=30),
}
QUANTILES = (0.5, 0.95, 0.99)


class Collector:
    """One scrape's figures as of `now`, for prometheus-client's registry."""

    def __init__(self, *, now: datetime) -> None:
        self.now = now

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from self._queues()
        yield from self._levels()
        yield from self._latency()
        yield from self._machinery()

    def _queues(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("redrive_queue_items", "Items of a queue by state.", labels=["queue", "state"])
        oldest = GaugeMetricFamily(
            "redrive_queue_oldest_due_seconds", "How long the oldest due item has been due.", labels=["queue"]
        )
        capped = GaugeMetricFamily(
            "redrive_queue_items_capped", "1 if there are more items than were counted.", labels=["queue"]
        )
        rows = QueueMinute.objects.filter(minute__gt=self.now - SAMPLED, minute__lte=self.now).order_by("minute")
        for row in {row.queue: row for row in rows}.values():
            for state in ("due", "waiting", "running", "dead"):
                depth.add_metric([row.queue, state], getattr(row, state))
            oldest.add_metric([row.queue], row.oldest_seconds)
            capped.add_metric([row.queue], int(row.capped))
        yield from (depth, oldest, capped)

    def _levels(self) -> Iterator[Metric]:
        events = GaugeMetricFamily(
            "redrive_slo_events", "Events due in a window.", labels=["objective", "outcome", "window"]
        )
        rate = GaugeMetricFamily(
            "redrive_slo_burn_rate", "Error budget spent over budget allowed.", labels=["objective", "window"]
        )
        left = GaugeMetricFamily(
            "redrive_slo_budget_left_ratio", "Error budget of 30 days that is left.", labels=["objective"]
        )
        promise = GaugeMetricFamily("redrive_slo_target_ratio", "What is promised.", labels=["objective"])
        found = self._windows()
        for goal in objective.everything():
            for name in WINDOWS:
                counted = found.get((goal.key, name), Counts(0, 0))
                events.add_metric([goal.key, "good", name], counted.good)
                events.add_metric([goal.key, "bad", name], counted.bad)
                if goal.target is not None:
                    spent = burn.rate(counted, target=goal.target)
                    rate.add_metric([goal.key, name], spent)
                    if name == "30d":
                        left.add_metric([goal.key], 1 - spent)
            if goal.target is not None:
                promise.add_metric([goal.key], goal.target)
        yield from (events, rate, left, promise)

    def _windows(self) -> dict[tuple[str, str], Counts]:
        """Events by objective and window: two statements that put each row into one slice, whose sums then add up."""
        end = objective.minute_of(self.now)
        border = objective.hour_of(end) - FINE
        begins = {name: end - length for name, length in WINDOWS.items()}
        fine = {name: at for name, at in begins.items() if at >= border}
        coarse = {name: objective.hour_of(at) for name, at in begins.items() if at < border}
        slices = _slices(SloMinute, "minute", fine | {"rest": border}, end) | _old_hours(coarse, border)
        order = [*fine, "rest", *coarse]
        found = {}
        for key in {key for key, _ in slices}:
            total = Counts(0, 0)
            for name in order:
                more = slices.get((key, name), Counts(0, 0))
                total = found[key, name] = Counts(total.good + more.good, total.bad + more.bad)
        return found

    def _latency(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "redrive_latency_seconds", "Latency of the last 5 minutes.", labels=["objective", "quantile"]
        )
        rows = SloMinute.objects.filter(minute__gt=self.now - LATENCY, minute__lte=self.now).exclude(histogram={})
        together: dict[str, list[dict[str, int]]] = {}
        for key, held in rows.values_list("objective", "histogram"):
            together.setdefault(key, []).append(held)
        for key, each in sorted(together.items()):
            merged = histogram.merged(each)
            for share in QUANTILES:
                if (took := histogram.percentile(merged, share)) is not None:
                    family.add_metric([key, f"{share:g}"], took.total_seconds())
        yield family

    def _machinery(self) -> Iterator[Metric]:
        """Four small tables in one statement."""
        beats = GaugeMetricFamily("redrive_heartbeat_age_seconds", "Since a part was heard of.", labels=["part"])
        late = GaugeMetricFamily("redrive_schedule_late_seconds", "Since a schedule should have run.", labels=["name"])
        broken = GaugeMetricFamily("redrive_breaker_open", "1 while a transport is left alone.", labels=["transport"])
        alerts = GaugeMetricFamily("redrive_alert_open", "Open alerts.", labels=["rule", "scope", "severity", "state"])
        for kind, name, about, at in self._rows():
            seconds = (self.now - at).total_seconds() if at is not None else 0.0
            if kind == "beat":
                beats.add_metric([name], max(seconds, 0.0))
            elif kind == "schedule":
                late.add_metric([name.removeprefix(recurring.PREFIX)], max(seconds, 0.0))
            elif kind == "breaker":
                broken.add_metric([name], 1)
            else:
                scope, severity, state = about.rsplit("\x1f", 2)
                alerts.add_metric([name, scope, severity, state], 1)
        yield from (beats, late, broken, alerts)

    def _rows(self) -> Iterator[tuple[str, str, str, datetime | None]]:
        def said(kind: str) -> Value:
            return Value(kind, output_field=CharField())

        about = Concat("scope", Value("\x1f"), "severity", Value("\x1f"), "state", output_field=CharField())
        parts = [
            Heartbeat.objects.order_by().values_list(said("beat"), "name", said(""), "seen_at"),
            Schedule.objects.filter(name__startswith=recurring.PREFIX)
            .exclude(repeats=0)
            .order_by()
            .values_list(said("schedule"), "name", said(""), "next_run"),
            Breaker.objects.filter(failures__gte=THRESHOLD)
            .order_by()
            .values_list(said("breaker"), "name", said(""), "changed_at"),
            Alert.objects.exclude(state=Alert.State.RESOLVED)
            .order_by()
            .values_list(said("alert"), "rule", about, F("pending_at")),
        ]
        yield from parts[0].union(*parts[1:], all=True)


type Slices = dict[tuple[str, str], Counts]
_kept: tuple[float, datetime, Slices] | None = None


def _old_hours(bounds: dict[str, datetime], until: datetime) -> Slices:
    """The slices of hours that are over long ago, looked at again after ten minutes: only late rows change them."""
    global _kept
    if _kept is None or _kept[1] != until or time.monotonic() - _kept[0] > HOURS_KEPT_SECONDS:
        _kept = (time.monotonic(), until, _slices(SloHour, "hour", bounds, until))
    return _kept[2]


def _slices(
    model: type[SloMinute] | type[SloHour], column: str, bounds: dict[str, datetime], until: datetime
) -> Slices:
    rows = model._default_manager.filter(**{f"{column}__gte": min(bounds.values()), f"{column}__lt": until}).order_by()
    place = Case(*(When(**{f"{column}__gte": at}, then=Value(name)) for name, at in bounds.items()))
    sums = rows.annotate(slice=place).values("objective", "slice").annotate(Sum("good"), Sum("bad"))
    found = sums.values_list("objective", "slice", "good__sum", "bad__sum")
    return {(key, name): Counts(good, bad) for key, name, good, bad in found}


def forget() -> None:
    """Look at the old hours again; for tests."""
    global _kept
    _kept = None
