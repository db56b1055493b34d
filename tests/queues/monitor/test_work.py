"""`manage.py work` for real: its supervisor tells of workers that are gone, and signs off when it is stopped."""

from __future__ import annotations

import signal
from datetime import timedelta

import pytest
from django.utils import timezone

from queues.engine import heartbeats
from queues.engine.heartbeats import Heartbeat
from queues.monitor.models import Alert, AlertDelivery
from tests.queues.engine.working import Work, until

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.django_db(transaction=True)]


def test_the_supervisor_tells_of_another_machines_workers(child_environment: dict[str, str]) -> None:
    """They were heard of ten minutes ago; nobody evaluates but the supervisor's own watch."""
    heartbeats.beat(name="cluster:elsewhere", now=timezone.now() - timedelta(minutes=10))
    with Work(child_environment, "--beat", "1", "--silence", "5", "--watch", "0.5") as work:
        work.started()
        found = until(Alert.objects.filter(rule="workers_silent", scope="elsewhere").first)
        assert found is not None
        work.process.send_signal(signal.SIGTERM)
        work.process.wait(timeout=60)
    assert Heartbeat.objects.get(name__startswith="supervisor:").detail == {"ended": True}
    assert not AlertDelivery.objects.exists(), "no channel is set up here"
