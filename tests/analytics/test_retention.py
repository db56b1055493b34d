"""Raw events go after their time in batches; their sums stay, and nothing that comes later miscounts for it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from analytics import fuse, recount, retention, rollups, tasks, watch
from analytics.checks import events_stay_long_enough
from analytics.models import Campaign, Event, RefreshState, RollupHour
from config import schedules
from tests.analytics.world import NOW, UNIT, campaign, differences, event, tell
from tests.queues.engine.threads import together

pytestmark = pytest.mark.django_db

KEEP = retention.DAYS_MIN
LATER = NOW + timedelta(days=KEEP)
"""When the days before NOW's are old enough."""


@pytest.fixture(autouse=True)
def _short(settings: Any) -> None:
    settings.RETENTION_EVENTS_DAYS = KEEP


def filled(**fields: Any) -> Campaign:
    """A campaign with ten events a day: the two days before NOW's day, and that day itself."""
    of = campaign(starts_on=date(2026, 3, 1), **fields)
    at = [NOW - timedelta(days=back, hours=back and 3) for back in (2, 1, 0)]
    tell(of, *[event(of, at=moment, cost_micros=UNIT) for moment in at for _ in range(10)])
    return of


def sums() -> list[tuple[Any, ...]]:
    """What the rollups say."""
    return list(RollupHour.objects.order_by("hour").values_list("hour", "impressions", "cost"))


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def test_whole_local_days_go_and_their_sums_stay(zone: str):
    of = filled(time_zone=zone)
    before = sums()
    assert retention.remove(now=LATER - timedelta(days=5)) == 0
    assert retention.remove(now=LATER, batch=3) == 20, "in batches: no lock on all of them at once"
    of.refresh_from_db()
    assert of.raw_from == NOW.astimezone(of.zone).date()
    assert {row.occurred_at.astimezone(of.zone).date() for row in Event.objects.all()} == {of.raw_from}
    assert sums() == before
    assert retention.remove(now=LATER) == 0, "again changes nothing"
    assert tasks.remove_old_events.__doc__
    assert "analytics.tasks.remove_old_events" in {line.task for line in schedules.TABLE}


def test_a_recount_leaves_alone_what_it_can_no_longer_count():
    """Else the sums of days without raw events would be repaired to nothing."""
    of = filled()
    retention.remove(now=LATER)
    before = sums()
    assert recount.run(now=LATER, everything=True).repaired == 0
    assert recount.check(of, date(2026, 3, 1), date(2026, 3, 31)) == []
    rollups.refresh(now=LATER)
    assert sums() == before


def test_a_recount_that_knew_the_campaign_before_the_removal_leaves_it_alone_too():
    of = filled()  # as the nightly run has loaded it
    retention.remove(now=LATER)
    assert of.raw_from is None
    assert recount.check(of, date(2026, 3, 9), date(2026, 3, 11)) == []


def test_what_is_after_the_blind_days_is_still_recounted():
    of = filled()
    retention.remove(now=LATER)
    later = NOW + timedelta(days=retention.BLIND.days + 1)
    tell(of, event(of, at=later), now=later)
    RollupHour.objects.filter(hour__gt=NOW).update(impressions=7)
    assert recount.run(now=later).repaired == 1
    row = RefreshState.objects.get(scope=watch.scope(of.pk))
    assert (row.checked_at, row.repaired, row.repaired_days) == (later, 1, [str(later.date())])


def test_a_conversion_keeps_the_click_it_is_owed_to():
    """Its click is gone, and it would be taken for unattributed."""
    of = campaign()
    click = event(of, "click", at=NOW - timedelta(days=5), visitor="v")
    tell(of, click, event(of, "conversion", at=NOW, visitor="v", revenue_micros=UNIT))
    retention.remove(now=LATER)
    assert Event.objects.get().attribution == "click"
    recount.run(now=NOW + timedelta(days=1))
    assert Event.objects.get().attribution == "click"


def test_what_is_sent_again_is_still_known_or_too_old():
    of = campaign()
    sent = event(of)
    tell(of, sent)
    from analytics import intake

    for days, status in ((89, "duplicate"), (KEEP, "rejected"), (KEEP + 2, "rejected")):
        now = NOW + timedelta(days=days)
        retention.remove(now=now)
        assert intake.record(events=[sent], user=of.owner, now=now)[0].status == status
    assert Event.objects.count() == 0
    assert sum(row[1] for row in sums()) == 1


def test_less_than_is_safe_is_not_obeyed_and_is_an_error_of_check(settings: Any):
    filled()
    settings.RETENTION_EVENTS_DAYS = 1
    assert retention.remove(now=NOW + timedelta(days=90)) == 0
    assert [message.id for message in events_stay_long_enough()] == ["redrive.E030"]
    settings.RETENTION_EVENTS_DAYS = KEEP
    assert list(events_stay_long_enough()) == []


def test_the_page_says_which_days_are_not_rechecked_and_what_was_put_right(client: Client):
    of = filled()
    Campaign.objects.filter(pk=of.pk).update(raw_from=NOW.date() - timedelta(days=20))
    other = filled()
    RollupHour.objects.filter(campaign=of, hour__date=NOW.date()).update(impressions=7)
    recount.run(now=NOW)
    client.force_login(of.owner)
    fuse.FUSE.succeeded()
    with time_machine.travel(NOW, tick=False):
        page = client.get(f"/analytics/campaigns/{of.pk}/").text
        assert "Checked against raw events at 14:35: 1 row of the sums corrected, of 11 Mar." in page
        assert "Days before 27 Feb are as they were counted" in page
        assert "not rechecked" not in client.get(f"/analytics/campaigns/{of.pk}/?days=7").text
        client.force_login(other.owner)
        theirs = client.get(f"/analytics/campaigns/{other.pk}/").text
    assert "Checked against raw events at 14:35: no difference." in theirs
    assert "not rechecked" not in theirs


@pytest.mark.django_db(transaction=True)
def test_a_removal_amid_recounts_repairs_nothing():
    of = filled()
    tell(of, *[event(of, at=NOW - timedelta(days=2, minutes=number)) for number in range(200)])
    before = sums()

    def remove() -> int:
        return retention.remove(now=LATER, batch=10)

    def check() -> int:
        return sum(recount.run(now=NOW, everything=False).repaired for _ in range(3))

    removed, first, second = together(remove, check, check)
    rollups.refresh(now=NOW)
    assert (removed, first, second) == (220, 0, 0)
    assert sums() == before
    assert differences(of), "that is what the sums alone remember"
