"""The page of throughput: what came into each queue and what was done, how deep and old it was, what retries bring."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from queues.desk import faces, graphs, levels, measured, permissions, ranges
from queues.desk.graphs import Graph, Line
from queues.desk.ranges import Range
from queues.engine import registry
from queues.monitor import depth, histogram, reading, recovery
from queues.monitor.reading import Counted, Step

LATENCY = {"email": "email.accepted", "webhook": "webhook.handled", "push": "push.accepted"}
"""Queue → the objective whose histogram tells from due to done; of others, the runs' own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One queue's part of the page."""

    queue: str
    noun: str
    figures: tuple[tuple[str, str], ...]
    graphs: tuple[Graph, ...]


def view(request: HttpRequest) -> HttpResponse:
    """All queues the account may look at."""
    now = timezone.now()
    within = ranges.read(request.GET.dict(), now=now, usual="6h")
    shown = [face for face in faces.all_faces() if permissions.may(request.user, "view", face.model)]
    context = {
        "title": "Throughput",
        "range": within,
        "panels": [_panel(face.queue, within, now=now) for face in shown],
    }
    return measured.page(request, "desk/monitor/throughput.html", context, now=now)


def _panel(queue: str, within: Range, *, now: datetime) -> Panel:
    came = _series(f"{queue}.due", within)
    runs = _series(f"{queue}.runs", within)
    retries = reading.over(f"{queue}.retries", start=within.start, end=within.end)
    waits = _series(LATENCY.get(queue, f"{queue}.runs"), within)
    depths = depth.series(queue, start=within.start, end=within.end, step=within.step)
    noun = str(registry.get(queue).model._meta.verbose_name_plural)
    return Panel(
        queue=queue,
        noun=noun,
        figures=_figures(queue, came, runs, retries, waits, within, now=now),
        graphs=(
            _flow(noun, came, runs, within),
            levels.latency_graph(f"{noun}, from due to done", waits, within),
            _depth(noun, depths, within),
            _age(noun, depths, within),
        ),
    )


def _series(key: str, within: Range) -> list[Step]:
    return reading.series(key, start=within.start, end=within.end, step=within.step)


def _figures(
    queue: str, came: list[Step], runs: list[Step], retries: Counted, waits: list[Step], within: Range, *, now: datetime
) -> tuple[tuple[str, str], ...]:
    newest, _since = depth.now_and_before(queue)
    merged = histogram.merged(step.counted.histogram for step in waits)
    told = [(label, histogram.percentile(merged, share)) for share, label, _ in levels.PERCENTILES]
    spells = recovery.times(start=within.start, end=within.end, now=now, queue=queue)
    found = [
        ("came due", f"{sum(step.counted.good for step in came):,}"),
        ("runs that did their work", f"{sum(step.counted.good for step in runs):,}"),
        ("runs that failed", f"{sum(step.counted.bad for step in runs):,}"),
        ("retried items that ended done", f"{levels.percent(retries.share)} of {retries.eligible:,}"),
        ("from due to done", ", ".join(f"{label} {_lasting(length)}" for label, length in told) if merged else "none"),
    ]
    if newest is not None:
        more = "+" if newest.capped else ""
        found += [
            ("waiting, of them due", f"{newest.waiting:,}{more}, {newest.due:,}{more}"),
            ("oldest due", levels.lasting(newest.oldest_seconds) if newest.oldest_seconds else "nothing is late"),
            ("dead letters", f"{newest.dead:,}{more}"),
        ]
    median = _lasting(spells.median) if spells.median is not None else "none yet"
    found.append(("errors over in (median), still open", f"{median}, {spells.open}"))
    return tuple(found)


def _lasting(length: timedelta | None) -> str:
    return "none" if length is None else levels.lasting(length.total_seconds())


def _flow(noun: str, came: list[Step], runs: list[Step], within: Range) -> Graph:
    any_at_all = any(step.counted.good or step.counted.bad for step in (*came, *runs))

    def line(label: str, steps: list[Step], name: str, style: str) -> Line:
        return Line(label, [getattr(step.counted, name) if any_at_all else None for step in steps], style)

    return graphs.draw(
        title=f"What came and what was done: {noun}",
        starts=within.starts,
        step=within.step,
        lines=[
            line("failed", runs, "bad", "bad"),
            line("came due", came, "good", "one"),
            line("done", runs, "good", "two"),
        ],
        words=lambda value: f"{value:,.0f}",
        nothing=f"Nothing came and nothing ran in {within.said}.",
    )


def _depth(noun: str, depths: list[Any], within: Range) -> Graph:
    def line(label: str, name: str, style: str) -> Line:
        return Line(label, [None if each is None else getattr(each, name) for each in depths], style)

    return graphs.draw(
        title=f"Depth: {noun}",
        starts=within.starts,
        step=within.step,
        lines=[line("waiting", "waiting", "one"), line("due", "due", "two"), line("dead", "dead", "three")],
        words=lambda value: f"{value:,.0f}",
        nothing=f"Nobody looked in {within.said}: a sample is taken every minute while the clock runs.",
    )


def _age(noun: str, depths: list[Any], within: Range) -> Graph:
    return graphs.draw(
        title=f"Age of the oldest that is due: {noun}",
        starts=within.starts,
        step=within.step,
        lines=[Line("oldest", [None if each is None else each.oldest.total_seconds() for each in depths], "one")],
        words=levels.lasting,
        nothing=f"Nobody looked in {within.said}: a sample is taken every minute while the clock runs.",
    )
