"""A campaign's page as a whole: snapshots first, then what can be refreshed within the reader's patience."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db import DatabaseError, InterfaceError, connections, router
from django_q.tasks import async_task

from analytics import guard, limits, mirror, rollups, showing, snapshots, stats, watch
from analytics.guard import Answer, Ask, Failure, Later, Result
from analytics.header import Header
from analytics.models import PanelSnapshot, RefreshState
from analytics.panels.page import ALL, PANELS, SUMMARY
from analytics.periods import Asked, Period
from analytics.reading import Question
from analytics.showing import Shown
from analytics.snapshots import View
from queues.engine import log

PATIENCE = timedelta(milliseconds=100)
"""What a reader waits, for all panels together, when there are saved figures to show: a third of the 300 ms in which
the page is to be there when every query fails.
"""
WRITE_PATIENCE = 0.1
"""Seconds a page waits for SQLite's one writer."""
PANEL_WRITE_PATIENCE = 2.0
"""The same of a panel that refreshes itself, while its old figures stand on the page."""
COLD_PATIENCE = timedelta(seconds=4)
"""The same where there are none."""
COLD_EACH = timedelta(seconds=1)
WORKER = snapshots.FLIGHT - timedelta(seconds=5)
"""For all panels of a page when a worker computes them: it lands before its flight counts as lost."""
UPDATED_FOR = timedelta(minutes=1)
"""How long "Updated again" stands."""

logger = log.get(__name__)

type Chosen = Mapping[str, Mapping[str, str]]
"""Options by panel."""


@dataclass(frozen=True, slots=True)
class Board:
    """All panels that were asked for."""

    header: Header
    asked: Asked
    period: Period
    panels: list[Shown]
    now: datetime
    offline: bool = False
    recovered_at: datetime | None = None
    checked_at: datetime | None = None
    repaired: int = 0
    repaired_days: tuple[str, ...] = ()
    """As in 2026-03-09."""

    @property
    def cut(self) -> datetime | None:
        """The moment that all panels share, if they do: the latest."""
        return max((shown.as_of for shown in self.panels if shown.as_of), default=None)

    @property
    def apart(self) -> list[Shown]:
        """Panels that show another moment than the rest."""
        return [shown for shown in self.panels if shown.as_of is not None and shown.as_of != self.cut]


def build(
    *,
    header: Header,
    asked: Asked,
    chosen: Chosen,
    names: Iterable[str] = tuple(PANELS),
    now: datetime,
    each: timedelta | None = None,
    force: bool = False,
    reader: bool = True,
) -> Board:
    """Show these panels, refreshed if their time has come.

    `each`: wait so long for each (a panel that refreshes itself); by default a page's patience. `force`: also what is
    not due. `reader`: somebody looks at it, which is counted. Raises DatabaseError or InterfaceError if not even
    snapshots can be read.
    """
    views = [View(header.id, name, asked.query, chosen.get(name, {})) for name in names]
    panels, states = _build({header.id: header}, asked, views, now=now, each=each, force=force, reader=reader)
    mine = states.get(watch.scope(header.id))
    recovered = mine.recovered_at if mine and mine.recovered_at and now - mine.recovered_at < UPDATED_FOR else None
    period = asked.period(zone=header.zone, now=now)
    return Board(
        header,
        asked,
        period,
        panels,
        now,
        recovered_at=recovered,
        checked_at=mine.checked_at if mine else None,
        repaired=mine.repaired if mine else 0,
        repaired_days=tuple(mine.repaired_days or ()) if mine else (),
    )


def build_or_saved(
    *,
    header: Header,
    asked: Asked,
    chosen: Chosen,
    names: Iterable[str] = tuple(PANELS),
    now: datetime,
    each: timedelta | None = None,
    offline: bool = False,
) -> Board:
    """`build`; or, if the database is known to be away (`offline`) or turns out to be, what this machine has saved."""
    if not offline:
        try:
            return build(header=header, asked=asked, chosen=chosen, names=names, now=now, each=each)
        except (DatabaseError, InterfaceError):
            logger.exception("analytics.board_failed")
            for connection in connections.all(initialized_only=True):
                connection.close_if_unusable_or_obsolete()
    return saved(header=header, asked=asked, chosen=chosen, names=names, now=now)


def build_many(*, headers: Iterable[Header], asked: Asked, now: datetime) -> list[Board]:
    """A board of the summary alone for each of these campaigns, with the questions of a single page."""
    known = {header.id: header for header in headers}
    views = [View(campaign_id, SUMMARY, asked.query) for campaign_id in known]
    panels, _states = _build(known, asked, views, now=now, each=None)
    return [
        Board(header, asked, asked.period(zone=header.zone, now=now), [shown], now)
        for header, shown in zip(known.values(), panels, strict=True)
    ]


def _build(
    headers: Mapping[int, Header],
    asked: Asked,
    views: list[View],
    *,
    now: datetime,
    each: timedelta | None,
    force: bool = False,
    reader: bool = True,
) -> tuple[list[Shown], dict[str, RefreshState]]:
    """Snapshots first, then what is due; returns what is shown for each view, and how refreshing stands by scope."""
    spans = {pk: asked.period(zone=header.zone, now=now) for pk, header in headers.items()}
    scopes = [rollups.SCOPE, *(watch.scope(pk) for pk in headers)]
    states = {row.scope: row for row in RefreshState.objects.filter(scope__in=scopes)}
    latest = states[rollups.SCOPE].as_of if rollups.SCOPE in states else None
    rows = snapshots.read(views)
    due = [view for view in views if force or _is_due(rows.get(view.key), latest, spans[view.campaign_id], now)]
    answers: Mapping[str, Answer] | None = {}
    if due and latest is not None:
        answers = _fly(headers, spans, due, rows, each=each, now=now, states=states, reader=reader)
        if any(isinstance(one, Failure) for one in (answers or {}).values()):
            rows = snapshots.read(views)
        if any(not isinstance(one, Later) for one in (answers or {}).values()):
            states = {row.scope: row for row in RefreshState.objects.filter(scope__in=scopes)}
    locked, answers = answers is None, answers or {}
    # Where not even the flight could be noted, nobody fetches newer figures, and nobody says so.
    later = [] if locked else [view for view in due if not isinstance(answers.get(view.key), Result | Failure)]
    if later and latest is not None:
        _in_background(asked, later)
    panels = [
        showing.make(view, rows.get(view.key), answers.get(view.key), view in later, spans[view.campaign_id], now)
        for view in views
    ]
    if reader:
        for one in panels:
            stats.seen(one.panel.name, one.badge.state, now=now)
    if not locked:
        _note(rows.values() if reader else (), now=now)
    return panels, states


def saved(
    *, header: Header, asked: Asked, chosen: Chosen, names: Iterable[str] = tuple(PANELS), now: datetime
) -> Board:
    """The same from this machine's disk alone."""
    period = asked.period(zone=header.zone, now=now)
    panels = []
    for name in names:
        view = View(header.id, name, asked.query, chosen.get(name, {}))
        copy = mirror.read(header.id, view.key)
        row = None
        if copy is not None:
            row = PanelSnapshot(payload=copy.payload, as_of=copy.as_of, computed_at=copy.computed_at)
        panels.append(showing.make(view, row, Failure("offline", ""), False, period, now))
        stats.count(name, "offline", now=now, attempts=0)
        stats.seen(name, panels[-1].badge.state, now=now)
    return Board(header, asked, period, panels, now, offline=True)


def _is_due(row: PanelSnapshot | None, latest: datetime | None, period: Period, now: datetime) -> bool:
    if row is None or latest is None:
        return True
    if row.next_try_at is not None and row.next_try_at > now:
        return False
    if row.payload is None or row.as_of is None or row.last_outcome != "ok":
        return True
    return row.as_of < latest or row.payload.get("from") != period.first.isoformat()


def _fly(
    headers: Mapping[int, Header],
    spans: Mapping[int, Period],
    due: list[View],
    rows: Mapping[str, PanelSnapshot],
    *,
    each: timedelta | None,
    now: datetime,
    states: Mapping[str, RefreshState],
    reader: bool,
) -> Mapping[str, Answer] | None:
    """Compute what nobody else is computing; None if somebody else keeps the database from taking it down."""
    patience = WRITE_PATIENCE if each is None else PANEL_WRITE_PATIENCE
    try:
        with limits.hurried(router.db_for_write(PanelSnapshot), seconds=patience):
            flight, taken = snapshots.take_off(due, rows, now=now)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("analytics.no_flight", words=str(error).split("\n")[0])
        return None
    mine = {view.key: view for view in due if view.key in taken}
    cold = {key for key, row in taken.items() if row.payload is None}
    # What has figures is asked first, and may not take long; what has none is worth waiting for.
    asks = [
        _ask(view, headers[view.campaign_id], spans[view.campaign_id], each=COLD_EACH if view.key in cold else PATIENCE)
        for view in sorted(mine.values(), key=lambda view: view.key in cold)
    ]
    if each is not None:
        whole = guard.BUDGET if reader else WORKER
        answers = guard.ask([replace(ask, each=None) for ask in asks], each=each, altogether=whole)
    else:
        answers = guard.ask(asks, altogether=COLD_PATIENCE if cold else PATIENCE, patient=False)
    for key, answer in answers.items():
        if isinstance(answer, Result):
            stats.count(mine[key].panel, "ok", now=now, attempts=answer.attempts, milliseconds=answer.milliseconds)
        elif isinstance(answer, Failure):
            milliseconds, attempts = answer.milliseconds, answer.attempts
            stats.count(mine[key].panel, answer.code, now=now, attempts=attempts, milliseconds=milliseconds)
    try:
        with limits.hurried(router.db_for_write(PanelSnapshot), seconds=patience):
            snapshots.land(flight, answers, taken, now=now)
        for pk in {mine[key].campaign_id for key, answer in answers.items() if not isinstance(answer, Later)}:
            failed = [
                mine[key].panel
                for key, answer in answers.items()
                if mine[key].campaign_id == pk and isinstance(answer, Failure)
            ]
            known = states.get(watch.scope(pk))
            watch.refreshed(campaign_id=pk, name=headers[pk].name, failed=failed, known=known, now=now)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("analytics.snapshots_not_stored", words=str(error).split("\n")[0])
    return answers


def _note(seen: Iterable[PanelSnapshot], *, now: datetime) -> None:
    """Write down that somebody looked; a reader does not wait for that, nor fail with it."""
    try:
        with limits.hurried(router.db_for_write(PanelSnapshot), seconds=WRITE_PATIENCE):
            snapshots.viewed(seen, now=now)
            stats.flush()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("analytics.view_not_noted", words=str(error).split("\n")[0])


def _ask(view: View, header: Header, period: Period, *, each: timedelta | None = None) -> Ask:
    def question(as_of: datetime) -> Question:
        return Question(
            header.id,
            header.currency,
            period,
            as_of,
            view.options,
            budget=header.budget,
            starts_on=header.starts_on,
            ends_on=header.ends_on,
        )

    return Ask(view.key, ALL[view.panel], question, each)


def _in_background(asked: Asked, later: list[View]) -> None:
    """Have a worker compute it with all the time a query may take; once, however many readers wait for it."""
    for pk in {view.campaign_id for view in later}:
        if not cache.add(f"analytics:later:{pk}:{asked.query}", 1, timeout=10):
            continue
        views = [[view.panel, dict(view.options)] for view in later if view.campaign_id == pk]
        try:
            with limits.hurried(router.db_for_write(PanelSnapshot), seconds=WRITE_PATIENCE):
                async_task("analytics.tasks.compute", pk, asked.query, views, q_options={"group": "analytics"})
        except (DatabaseError, InterfaceError) as error:
            logger.warning("analytics.background_refused", words=str(error).split("\n")[0])
