"""The world of the analytics tests: people, a campaign, programs that record events, and the events themselves."""

from __future__ import annotations

import itertools
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics import rollups
from analytics.models import MEASURES, Campaign, Creative, Event, RollupDimDay, RollupHour
from tests.queues.desk.api_caller import Program

NOW = datetime(2026, 3, 11, 14, 35, tzinfo=UTC)
"""A Wednesday afternoon."""
UNIT = 1_000_000
PATH = "/api/v1/events/"
_numbers = itertools.count(1)


def person(name: str = "", **fields: Any) -> User:
    """A customer."""
    return User.objects.create_user(name or f"person{next(_numbers)}", password="a long password", **fields)


def give(user: User, *codenames: str) -> User:
    """Permissions of the analytics app; returns the user as it is loaded anew."""
    found = Permission.objects.filter(content_type__app_label="analytics", codename__in=codenames)
    assert found.count() == len(codenames)
    user.user_permissions.add(*found)
    return User.objects.get(pk=user.pk)


def campaign(owner: User | None = None, **fields: Any) -> Campaign:
    """A campaign of that owner with two creatives, `a` and `b`."""
    given = {"name": f"Campaign {next(_numbers)}", "starts_on": date(2026, 1, 1), "time_zone": "UTC"}
    made = Campaign.objects.create(owner=owner or person(), **(given | fields))
    for key in "ab":
        Creative.objects.create(campaign=made, key=key, name=f"Creative {key.upper()}")
    return made


def program(user: User | None = None) -> Program:
    """A program that may record events of every campaign, or of its user's."""
    return Program(user=give(user or person(), "add_event" if user else "record_any_event"))


def event(of: Campaign, kind: str = "impression", *, at: datetime = NOW - timedelta(minutes=1), **fields: Any) -> Any:
    """One event as a program sends it."""
    known = {"event_id": str(uuid.uuid4()), "campaign": of.pk, "kind": kind, "occurred_at": at.isoformat()}
    return known | fields


def tell(of: Campaign, *events: dict[str, Any], now: datetime = NOW) -> None:
    """Record them and bring the rollups up to date."""
    from analytics import intake

    given = list(events)
    for place in range(0, len(given), 500):
        answers = intake.record(events=given[place : place + 500], user=of.owner, now=now)
        assert {answer.status for answer in answers} == {"accepted"}, answers
    rollups.refresh(now=now)


@contextmanager
def within(milliseconds: int, *, statements: bool = True) -> Iterator[None]:
    """What happens inside takes no longer on a machine that has nothing else to do: its own processor time, and all it
    lets the database take for statements that never end. Nothing in it may sleep. No clock on the wall, which says
    more about the machine's other work. Not `statements`: there is no connection that could be looked at.
    """

    reader, sleeps = threading.get_ident(), time.sleep

    def sleep(seconds: float) -> None:
        if threading.get_ident() != reader:  # a thread that an earlier test left
            return sleeps(seconds)
        raise AssertionError(f"a reader waits for a sleep of {seconds} s")

    looked_at: Any = CaptureQueriesContext(connection) if statements else nullcontext([])
    with pytest.MonkeyPatch.context() as patch, looked_at as asked:
        patch.setattr(time, "sleep", sleep)
        begun = time.thread_time()
        yield
        spent = (time.thread_time() - begun) * 1000
    limit = 0
    for query in asked:
        if found := re.search(r"set_config\('statement_timeout', '(\d+)'", query["sql"]):
            limit = int(found[1])
        if "WITH RECURSIVE" in query["sql"] and connection.vendor == "postgresql":  # SQLite burns our own time
            spent += limit
    assert spent < milliseconds, f"{spent:.0f} ms, {len(asked)} statements"


def differences(of: Campaign) -> list[str]:
    """Where the rollups are not what the events add up to, worked out here in another way than the code does."""
    import collections

    hours: Any = collections.defaultdict(collections.Counter)
    days: Any = collections.defaultdict(collections.Counter)
    for row in Event.objects.filter(campaign=of):
        add: Any = collections.Counter()
        if row.drop_reason:
            add["dropped"] = 1
        else:
            add[f"{row.kind}s"] = 1
            add["cost"], add["revenue"] = row.cost, row.revenue
            add["measured"], add["viewable"] = row.viewable is not None, row.viewable is True
            if row.attribution:
                add[f"{row.attribution}_conversions"], add[f"{row.attribution}_revenue"] = 1, row.revenue
        local = row.occurred_at.astimezone(of.zone)
        hours[row.occurred_at.replace(minute=0, second=0, microsecond=0)].update(add)
        for name in ("country", "device", "channel"):
            days[name, local.date(), getattr(row, name)].update(add)
        days["creative", local.date(), str(row.creative_id or "")].update(add)
    found = []
    for model, sums in ((RollupHour, hours), (RollupDimDay, days)):
        there = {}
        for one in model.objects.filter(campaign=of):
            key = one.hour if isinstance(one, RollupHour) else (one.dimension, one.day, one.value)
            there[key] = {name: getattr(one, name) for name in MEASURES}
        for key in {*there, *sums}:
            wanted = {name: sums[key][name] for name in MEASURES}
            if there.get(key, dict.fromkeys(MEASURES, 0)) != wanted:
                found.append(f"{key}: {there.get(key)} instead of {wanted}")
    return found
