"""The demo's pushes fill every page, once."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from config.demo import pushes
from notifications.models import PushDelivery, PushDevice
from notifications.sending import words

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def test_the_demo_has_devices_and_pushes_in_many_states():
    assert pushes.load(now=timezone.now()) == 0, "nobody to send to yet"
    User.objects.create_user("customer")
    assert pushes.load(now=timezone.now()) == pushes.HISTORY + 1
    assert pushes.load(now=timezone.now()) == 0, "once"
    assert set(PushDevice.objects.values_list("status", flat=True)) == {"active", "stale", "invalid"}
    said = {words.of(row).word for row in PushDelivery.objects.all()}
    assert said == {"queued", "accepted", "delivered", "opened", "failed", "suppressed"}
