"""The alert rules about push fire and clear as lanes stop and services say something new."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from notifications import alarms
from notifications.models import Lane
from notifications.sending import lanes
from notifications.transports import errors
from queues.engine import failure_groups
from queues.engine.failure_groups import FailureGroup

pytestmark = pytest.mark.django_db
KEY = lanes.Key("shop", "apns", "production", "thumbprint-1")


def test_a_lane_that_stops_and_opens_again():
    """By a refused key; scope and reason are told, the credential is not."""
    now = timezone.now()
    lanes.stop(KEY, reason="wrong key", words="403 InvalidProviderToken", last=None, now=now)
    (found,) = alarms.stopped(now)
    assert found.scope == "shop/apns/production"
    assert "until staff resume it: wrong key. 403 InvalidProviderToken" in found.words
    assert "thumbprint" not in str(found)
    Lane.objects.update(state=Lane.State.HALF_OPEN)
    assert list(alarms.stopped(now)) == []


def test_an_answer_that_is_in_no_table():
    """As the drain notes the group of such failures; over an hour after the last of them."""
    now = timezone.now()
    answer = errors.answer("apns", "418", "Teapot")
    failure = failure_groups.Failure(fingerprint="f" * 16, code="apns 418 Teapot", words=answer.words, kind="", at=now)
    failure_groups.seen("push", [failure])
    (found,) = alarms.unknown(now)
    assert (found.scope, found.path) == (
        "apns 418 Teapot",
        f"/admin/queues/failuregroup/{FailureGroup.objects.get().pk}/change/",
    )
    assert list(alarms.unknown(now + timedelta(minutes=61))) == []
    known = errors.answer("apns", "410", "Unregistered")
    assert not known.words.startswith(errors.UNKNOWN.words)
