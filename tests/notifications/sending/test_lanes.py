"""Lanes: who may try one that is to open, and what keeps it shut."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from notifications.models import Lane
from notifications.sending import lanes

pytestmark = pytest.mark.django_db

KEY = lanes.Key("default", "fcm", "production", "k1")


def rows() -> lanes.Rows:
    return lanes.read(transports=["fcm"])


def test_of_those_that_come_when_its_time_is_up_one_tries_it():
    now = timezone.now()
    assert lanes.waits_until(KEY, rows(), now=now) is None, "no row means open"
    lanes.stop(KEY, reason="signed too often", last=timedelta(minutes=20), now=now)
    assert lanes.waits_until(KEY, rows(), now=now) == now + lanes.LOOK_AGAIN
    later = now + timedelta(minutes=21)
    seen = rows()
    tries = [lanes.waits_until(KEY, seen, now=later) for _ in range(3)]
    assert tries == [None, later + lanes.PROBE_WAIT, later + lanes.PROBE_WAIT]
    # Its worker died: after a minute another one tries.
    much_later = later + timedelta(seconds=61)
    seen = rows()
    assert [lanes.waits_until(KEY, seen, now=much_later) for _ in range(2)] == [None, much_later + lanes.PROBE_WAIT]
    lanes.works(KEY, seen, now=much_later)
    assert rows() == {}
    assert Lane.objects.get().state == "open"


def test_what_staff_have_to_look_at_is_not_shortened_by_a_later_answer():
    now = timezone.now()
    lanes.stop(KEY, reason="key refused", now=now)
    lanes.stop(KEY, reason="slow down", last=timedelta(seconds=1), now=now)
    lane = Lane.objects.get()
    assert (lane.reason, lane.until) == ("key refused", None)
    assert lanes.waits_until(KEY, rows(), now=now + timedelta(days=1)) is not None
    assert lanes.resume(lane, now=now)
    assert lanes.waits_until(KEY, rows(), now=now) is None
    assert not lanes.resume(lane, now=now), "it is being tried already"
    lanes.stop(KEY, reason="key refused", now=now)
    assert lanes.waits_until(KEY, rows(), now=now) is not None


def test_another_credential_is_another_lane_and_an_answer_opens_only_what_was_tried():
    now = timezone.now()
    lanes.stop(KEY, reason="key refused", now=now)
    other = lanes.Key("default", "fcm", "production", "k2")
    assert lanes.waits_until(other, rows(), now=now) is None
    lanes.works(other, rows(), now=now)
    lanes.works(KEY, rows(), now=now)
    assert Lane.objects.get().state == "stopped", "an answer to what was sent before it stopped"
