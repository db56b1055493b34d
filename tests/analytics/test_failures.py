"""When queries, panels or the database fail: the last good figures stay, say so, and recover by themselves."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import OperationalError, transaction
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from analytics import alarms, board, drill, fuse, guard, header, limits, refreshing, rollups, stats, watch
from analytics.models import Campaign, Delay, PanelSnapshot, QueryStat, RefreshState
from analytics.panels import page as panel_page
from analytics.panels.page import ALL, PANELS
from analytics.periods import Asked
from queues.email.models import EmailMessage
from queues.monitor import alerts, outbox
from queues.monitor.models import AlertDelivery
from tests.analytics.world import NOW, UNIT, campaign, event, person, tell, within

pytestmark = pytest.mark.django_db

PATIENCE = board.PATIENCE
"""The real one; most tests give more, for they are not about time."""


@pytest.fixture(autouse=True)
def _whole_fuse(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test begins with a fuse that is whole, and nothing counted."""
    fuse.FUSE.succeeded()
    stats._waiting.clear()
    monkeypatch.setattr(board, "PATIENCE", timedelta(seconds=10))  # two cores may be busy elsewhere
    monkeypatch.setattr(board, "COLD_PATIENCE", timedelta(seconds=10))
    yield
    fuse.FUSE.succeeded()


@pytest.fixture
def clock() -> Iterator[Any]:
    """The clock, which the test moves."""
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def anna() -> User:
    return person("anna")


@pytest.fixture
def spring(anna: User) -> Campaign:
    """A campaign with figures of all kinds."""
    of = campaign(anna, name="Spring", budget=100 * UNIT)
    tell(
        of,
        *[event(of, creative="a", country="DE", device="mobile", cost_micros=UNIT, viewable=True) for _ in range(41)],
        event(of, "click", visitor="v", creative="a"),
        event(of, "conversion", visitor="v", revenue_micros=77 * UNIT),
    )
    return of


@pytest.fixture
def reader(client: Client, anna: User) -> Client:
    client.force_login(anna)
    return client


def get(reader: Client, of: Campaign, query: str = "") -> str:
    """The page; it must be one."""
    answer = reader.get(f"/analytics/campaigns/{of.pk}/?{query}")
    assert answer.status_code == 200, answer.content[:3000]
    return answer.content.decode()


def states(page: str) -> dict[str, str]:
    """The state of each panel of a page."""
    return dict(re.findall(r'id="panel-(\w+)"[^>]*? data-state="(\w+)"', page))


def numbers(page: str) -> list[str]:
    """The large numbers of a page."""
    return re.findall(r'<span class="number">([^<]*)</span>', page)


def later(clock: Any, minutes: float, *, refresh: bool = True) -> None:
    """Let time pass, and the rollups be refreshed."""
    now = NOW + timedelta(minutes=minutes)
    clock.move_to(now)
    if refresh:
        rollups.refresh(now=now)


def broken(monkeypatch: pytest.MonkeyPatch, error: Any, *names: str) -> None:
    """Let these panels' own code fail so."""

    def compute(question: Any) -> Any:
        if isinstance(error, BaseException):
            raise error
        if isinstance(error, dict) and error["campaign"] is ...:  # right but for what JSON cannot hold
            return error | panel_page.PANELS["delivery"].compute(question)
        return error

    for name in names:
        monkeypatch.setitem(ALL, name, dataclasses.replace(ALL[name], compute=compute))


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError(),
        KeyError("clicks"),
        RecursionError(),
        None,
        "garbage",
        {"campaign": 0},
        {"campaign": ..., "odd": float("nan")},
        {"campaign": ..., "odd": {1, 2}},
        OperationalError("x"),
    ],
)
def test_a_bug_in_one_panel_leaves_its_last_figures_and_the_others_alone(
    clock: Any, reader: Client, spring: Campaign, monkeypatch: pytest.MonkeyPatch, error: Any
):
    good = get(reader, spring)
    assert states(good)["delivery"] == "fresh"
    later(clock, 1)
    broken(monkeypatch, error, "delivery")
    page = get(reader, spring)
    found = states(page)
    assert found.pop("delivery") == "saved"
    assert set(found.values()) == {"fresh"}
    assert numbers(page) == numbers(good)
    assert "Saved copy, 14:35" in page
    assert "These are the last confirmed figures." in page
    assert re.search(r"Reference [2-9A-Z]{4}-[2-9A-Z]{2}\.", page)


def test_a_bug_in_drawing_leaves_the_others_alone(
    clock: Any, reader: Client, spring: Campaign, monkeypatch: pytest.MonkeyPatch
):
    changed = dataclasses.replace(ALL["pacing"], compute=lambda question: ALL["delivery"].compute(question))
    monkeypatch.setitem(ALL, "pacing", dataclasses.replace(changed, template="analytics/panels/no_such.html"))
    page = get(reader, spring)
    assert "We could not draw this panel." in page
    assert numbers(page)[:3] == ["41", "1", "2.44 %"]


def test_a_panel_that_never_worked_says_so_calmly_and_offers_another_try(
    clock: Any, reader: Client, spring: Campaign, monkeypatch: pytest.MonkeyPatch
):
    broken(monkeypatch, ZeroDivisionError(), "pacing")
    page = get(reader, spring)
    assert states(page)["pacing"] == "unavailable"
    assert "The rest of the page is not affected." in page
    assert "Try again" in page
    assert "ZeroDivision" not in page


@pytest.mark.parametrize("kind", [*drill.KINDS])
def test_all_panels_failing_still_answer_with_the_last_figures_at_once(
    clock: Any, reader: Client, spring: Campaign, monkeypatch: pytest.MonkeyPatch, kind: str
):
    """The drill of the design: 200 within 300 ms, all panels with their age, and recovered with the next cycle."""
    good = get(reader, spring)
    later(clock, 1)
    if kind == "timeout":  # the others fail at once, so that nobody's patience ends
        monkeypatch.setattr(board, "PATIENCE", PATIENCE)
    for name in ALL:
        drill.begin(panel=name, kind=kind, now=NOW)
    with within(300):
        page = get(reader, spring)
    assert numbers(page) == numbers(good)
    if kind != "timeout":  # that is given up after a moment and left to a worker, which is no failure yet
        assert set(states(page).values()) == {"saved"}
        assert page.count("Saved copy, 14:35") >= len(PANELS)
    drill.end()
    monkeypatch.setattr(board, "PATIENCE", timedelta(seconds=10))
    later(clock, 2)
    assert set(states(get(reader, spring)).values()) == {"fresh"}


def test_a_query_that_hangs_is_ended_and_said_to_be(
    clock: Any, reader: Client, spring: Campaign, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(guard, "BUDGET", timedelta(milliseconds=120))
    get(reader, spring)
    later(clock, 1)
    drill.begin(panel="delivery", kind="timeout", now=NOW)
    with within(400):
        fragment = reader.get(f"/analytics/campaigns/{spring.pk}/panels/delivery/")
    assert fragment.status_code == 200
    page = fragment.content.decode()
    assert states(page) == {"delivery": "saved"}
    assert "This took longer than 5 seconds, so we stopped it." in page
    assert "41" in numbers(page)
    other = reader.get(f"/analytics/campaigns/{spring.pk}/panels/spend/").content.decode()
    assert states(other) == {"spend": "fresh"}


def test_what_takes_longer_than_a_reader_waits_goes_on_in_the_background(
    clock: Any, reader: Client, spring: Campaign, monkeypatch: pytest.MonkeyPatch
):
    get(reader, spring)
    monkeypatch.setattr(board, "PATIENCE", PATIENCE)
    later(clock, 7)
    drill.begin(panel="delivery", kind="timeout", now=NOW)
    OrmQ.objects.all().delete()
    page = get(reader, spring)
    assert states(page)["delivery"] == "refreshing"
    assert "Showing figures up to 14:35 while we fetch newer ones." in page
    assert OrmQ.objects.count() == 1
    get(reader, spring)
    assert OrmQ.objects.count() == 1, "however many readers wait"
    row = PanelSnapshot.objects.get(panel="delivery")
    assert (row.consecutive_failures, row.flight) == (0, None)


def test_figures_grow_old_when_nobody_refreshes(clock: Any, reader: Client, spring: Campaign):
    """A dead cluster makes nothing fail: the page itself must say how old its figures are."""
    get(reader, spring)
    later(clock, 8, refresh=False)
    page = get(reader, spring)
    assert set(states(page).values()) == {"stale"}
    assert "8 min old" in page
    assert "Includes everything recorded by 14:35. Next update" in page
    later(clock, 11, refresh=False)
    assert "Some figures are delayed." in get(reader, spring)


def test_the_banner_comes_with_the_second_failure_names_the_panels_and_closes_itself(
    clock: Any, reader: Client, spring: Campaign, monkeypatch: pytest.MonkeyPatch
):
    get(reader, spring)
    with monkeypatch.context() as patch:
        broken(patch, ZeroDivisionError(), "spend", "results")
        later(clock, 1)
        assert "Some figures are delayed." not in get(reader, spring)
        later(clock, 2)
        page = get(reader, spring)
        assert "Some figures are delayed." in page
        assert "Spend and Results show confirmed data up to 14:35" in page
        assert "events keep being recorded. Next try 14:37." in page
    later(clock, 3)
    page = get(reader, spring)
    assert "Some figures are delayed." not in page
    assert "Updated again at 14:38." in page
    later(clock, 5)
    assert "Updated again" not in get(reader, spring)


def test_one_minor_panel_alone_is_not_worth_a_banner(
    clock: Any, reader: Client, spring: Campaign, monkeypatch: pytest.MonkeyPatch
):
    get(reader, spring)
    broken(monkeypatch, ZeroDivisionError(), "attribution")
    for minute in (1, 2, 3):
        later(clock, minute)
        page = get(reader, spring)
    assert states(page)["attribution"] == "saved"
    assert "delayed" not in page
    assert Delay.objects.count() == 0


def test_days_of_delay_are_hatched_once_they_are_over(
    clock: Any, reader: Client, spring: Campaign, monkeypatch: pytest.MonkeyPatch
):
    assert "chart-late" not in get(reader, spring)
    with monkeypatch.context() as patch:
        broken(patch, ZeroDivisionError(), "spend")
        for minute in (1, 2, 3):
            later(clock, minute)
            get(reader, spring)
    assert Delay.objects.get().ended_at is None
    later(clock, 24 * 60)
    get(reader, spring)
    spell = Delay.objects.get()
    assert (spell.began_at, spell.ended_at) == (NOW + timedelta(minutes=2), NOW + timedelta(days=1))
    later(clock, 3 * 24 * 60)
    page = get(reader, spring)
    assert page.count("chart-late") == 5 * 2, "11 and 12 March, in each of five charts"
    assert page.count("; figures were delayed that day") == 5 * 2
    assert page.count("(figures were delayed)") == 2
    assert "Hatched: figures were shown late on that day; they are complete now." in page


def test_a_failure_waits_for_its_next_try(
    clock: Any, reader: Client, spring: Campaign, monkeypatch: pytest.MonkeyPatch
):
    """After 1 s, 5 s, then every 30 s: a panel that fails does not cost every reader its query."""
    get(reader, spring)
    tried: list[int] = []

    def compute(question: Any) -> Any:
        tried.append(1)
        raise ZeroDivisionError

    monkeypatch.setitem(ALL, "delivery", dataclasses.replace(ALL["delivery"], compute=compute))
    waits = []
    for seconds in (60, 60.5, 61.1, 63, 66.2, 80, 97):
        later(clock, seconds / 60)
        get(reader, spring)
        waits.append(len(tried))
    assert waits == [1, 1, 2, 2, 3, 3, 4]


def test_three_failures_raise_one_alert_and_recovery_one_note(
    clock: Any, reader: Client, spring: Campaign, monkeypatch: pytest.MonkeyPatch, settings: Any
):
    settings.ALERT_EMAILS = ["ops@example.com"]
    get(reader, spring)

    def subjects() -> list[str]:
        """What staff were told, after this minute's look at the rule."""
        with transaction.atomic():
            now = timezone.now()
            outbox.write(alerts.apply(alarms.RULE, list(alarms.failing(now)), now=now), now=now)
        assert not EmailMessage.objects.exists(), "not through the queue it may be about"
        return list(AlertDelivery.objects.order_by("pk").values_list("subject", flat=True))

    with monkeypatch.context() as patch:
        broken(patch, ZeroDivisionError(), "delivery")
        for minute in range(1, 7):
            later(clock, minute)
            get(reader, spring)
            assert len(subjects()) == (1 if minute >= 3 else 0)
    later(clock, 8)
    get(reader, spring)
    told = f"Figures cannot be refreshed (campaign:{spring.pk})"
    assert subjects() == [f"[ticket] Firing: {told}", f"[ticket] Recovered: {told}"]
    assert "Figures of “Spring” cannot be refreshed: " in str(AlertDelivery.objects.earliest("pk").body)
    with monkeypatch.context() as patch:
        broken(patch, ZeroDivisionError(), "delivery")
        for minute in range(9, 14):
            later(clock, minute)
            get(reader, spring)
    assert len(subjects()) == 2, "no second alert within the hour"
    assert RefreshState.objects.get(scope=watch.scope(spring.pk)).consecutive_failures == 5


def test_failures_are_counted_also_where_the_reader_saw_a_saved_copy(
    clock: Any, reader: Client, spring: Campaign, monkeypatch: pytest.MonkeyPatch
):
    get(reader, spring)
    broken(monkeypatch, ZeroDivisionError(), "delivery")
    later(clock, 1)
    get(reader, spring)
    stats.flush(at_once=True)
    assert QueryStat.objects.get(panel="delivery", outcome="internal").count == 1
    assert QueryStat.objects.get(panel="delivery", outcome="seen_saved").count == 1
    level = stats.levels(since=NOW)
    queries = 2 * len(PANELS)
    assert level["queries"] == queries
    assert level["succeeded"] == pytest.approx((queries - 1) / queries)
    assert level["with_figures"] == 1


def test_figures_of_another_campaign_are_never_shown(clock: Any, reader: Client, spring: Campaign, anna: User):
    """Even if the store held them under its key."""
    other = campaign(anna, name="Other")
    tell(other, *[event(other) for _ in range(999)])
    get(reader, spring)
    get(reader, other)
    for row in PanelSnapshot.objects.filter(campaign=spring):
        foreign = PanelSnapshot.objects.get(campaign=other, panel=row.panel)
        row.payload = foreign.payload
        row.save()
    page = get(reader, spring)
    assert "999" not in page


def test_a_snapshot_is_refreshed_by_one_at_a_time(clock: Any, spring: Campaign):
    known = header.of(spring)
    board.build(header=known, asked=Asked(), chosen={}, now=NOW)
    PanelSnapshot.objects.filter(panel="spend").update(flight_until=NOW + timedelta(seconds=30), last_outcome="")
    built = board.build(header=known, asked=Asked(), chosen={}, now=NOW)
    assert {shown.source for shown in built.panels if shown.panel.name == "spend"} == {"snapshot"}
    later = NOW + timedelta(seconds=31)
    built = board.build(header=known, asked=Asked(), chosen={}, now=later)
    assert {shown.source for shown in built.panels if shown.panel.name == "spend"} == {"rollup"}


def test_the_clock_refreshes_what_somebody_looked_at_lately_and_no_longer(clock: Any, reader: Client, spring: Campaign):
    get(reader, spring)
    later(clock, 5)
    assert refreshing.watched(now=NOW + timedelta(minutes=5)) == len(PANELS)
    assert set(PanelSnapshot.objects.values_list("as_of", flat=True)) == {NOW + timedelta(minutes=5)}
    assert refreshing.watched(now=NOW + timedelta(minutes=5)) == 0, "nothing is newer"
    later(clock, 16)
    assert refreshing.watched(now=NOW + timedelta(minutes=16)) == 0, "the clock itself is no reader"
    stats.flush(at_once=True)
    assert QueryStat.objects.get(panel="delivery", outcome="seen_fresh").count == 1


def test_all_panels_of_a_page_are_of_one_moment(clock: Any, spring: Campaign):
    known = header.of(spring)
    built = board.build(header=known, asked=Asked(), chosen={}, now=NOW)
    assert (built.cut, built.apart) == (NOW, [])
    PanelSnapshot.objects.filter(panel="spend").update(as_of=NOW - timedelta(minutes=2), next_try_at=NOW + timedelta(1))
    built = board.build(header=known, asked=Asked(), chosen={}, now=NOW)
    assert [shown.panel.name for shown in built.apart] == ["spend"]


def test_after_midnight_yesterdays_saved_days_are_called_by_their_name(
    clock: Any, reader: Client, spring: Campaign, monkeypatch: pytest.MonkeyPatch
):
    get(reader, spring, "days=7")
    broken(monkeypatch, ZeroDivisionError(), *PANELS)
    later(clock, 600)
    page = get(reader, spring, "days=7")
    assert page.count("These figures are for 5–11 Mar.") == len(PANELS)
    assert "Saved copy, 14:35 on 11 Mar" in page


def test_a_limit_leaves_the_connection_usable(spring: Campaign):
    from django.db import connection

    with limits.cut("default"):
        with pytest.raises(OperationalError) as caught, limits.budget("default", seconds=0.05):
            drill.rehearse("timeout", using="default")
        assert limits.gave_up(caught.value)
        assert Campaign.objects.count() == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    assert panel_page.SUMMARY in ALL


def test_the_fuse_opens_for_the_connection_and_not_for_one_bad_panel():
    one = fuse.Fuse()
    for _ in range(10):
        one.failed("delivery", at=100)
    assert one.may_ask(at=100)
    for name in ("delivery", "spend", "results", "days", "pacing"):
        one.failed(name, at=100)
    assert not one.may_ask(at=100)
    two = fuse.Fuse()
    for second in range(4):
        two.failed(fuse.CONNECTION, at=100 + second)
    assert two.may_ask(at=104)
    two.failed(fuse.CONNECTION, at=104)
    assert not two.may_ask(at=104)
    assert two.seconds_left(at=110) == 24
    assert two.may_ask(at=134)
    assert not two.may_ask(at=134), "one probe at a time"
    two.failed(fuse.CONNECTION, at=135)
    assert not two.may_ask(at=160)
    assert two.may_ask(at=165)
    two.succeeded()
    assert two.may_ask(at=165)
    assert two.may_ask(at=165)
    three = fuse.Fuse()
    for second in range(0, 60, 10):
        three.failed(fuse.CONNECTION, at=second)
    assert three.may_ask(at=60), "five within 30 s, not five ever"
