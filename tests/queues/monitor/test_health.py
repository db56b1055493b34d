"""/healthz and /readyz: alive; able to work, and what is missing if not."""

from __future__ import annotations

import re
from datetime import timedelta
from unittest import mock

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone
from django_q.models import Schedule
from pytest_django import DjangoAssertNumQueries

from queues.engine import heartbeats
from queues.monitor import health


@pytest.fixture(autouse=True)
def _forgetful(db: None) -> None:
    health._migrated.clear()
    Schedule.objects.update(next_run=timezone.now() + timedelta(hours=1))


def test_alive_without_a_database():
    response = Client().get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")
    assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.django_db
def test_ready_when_all_is_well():
    heartbeats.beat(name="cluster:old", now=timezone.now() - timedelta(hours=1))
    heartbeats.beat(name="cluster:here", now=timezone.now() - timedelta(seconds=50))
    response = Client().get("/readyz")
    parts = ("database", "migrations", "disk", "workers", "schedules", "alerts")
    assert response.json() == {"status": "ready", **dict.fromkeys(parts, "ok")}
    assert response.status_code == 200


@pytest.mark.django_db
def test_not_ready_without_workers():
    assert Client().get("/readyz").json()["workers"] == "never seen"
    heartbeats.beat(name="drain:email:here", now=timezone.now())
    heartbeats.beat(name="cluster:here", now=timezone.now() - timedelta(seconds=100))
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json()["workers"].startswith("last seen 10")


@pytest.mark.django_db
def test_a_load_balancer_leaves_the_workers_out():
    response = Client().get("/readyz?without=workers")
    assert (response.status_code, response.json()["status"]) == (200, "ready")


@pytest.mark.django_db
def test_not_ready_while_a_migration_is_missing():
    MigrationRecorder.Migration.objects.filter(app="queues").latest("id").delete()
    response = Client().get("/readyz?without=workers")
    assert response.status_code == 503
    assert response.json()["migrations"].endswith("not applied")


@pytest.mark.django_db
def test_the_migrations_are_looked_at_once(django_assert_num_queries: DjangoAssertNumQueries):
    Client().get("/readyz?without=workers")
    with django_assert_num_queries(1):
        Client().get("/readyz?without=workers")


@pytest.mark.django_db
def test_not_ready_without_the_database_and_says_so_at_once():
    """The outage itself is the far edge: it cannot be had inside the test's transaction."""
    with mock.patch.object(connection, "cursor", side_effect=OperationalError("refused")):
        response = Client().get("/readyz")
    assert (response.status_code, response.json()) == (503, {"status": "not ready", "database": "unavailable"})


@pytest.mark.django_db
def test_not_ready_while_schedules_are_late():
    heartbeats.beat(name="cluster:here", now=timezone.now())
    late = Schedule.objects.filter(name__in=("redrive: drain email", "redrive: drain webhook"))
    late.update(next_run=timezone.now() - timedelta(minutes=5))
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json()["schedules"] == "drain email and 1 more late by 300 s"
    assert Client().get("/readyz?without=workers").status_code == 200, "nor is what only workers do"


@pytest.mark.django_db
def test_not_ready_while_nobody_looks_at_the_alerts():
    """A second way for an alert, if the first does not exist any more."""
    heartbeats.beat(name="cluster:here", now=timezone.now())
    heartbeats.beat(name="alerts", now=timezone.now() - timedelta(minutes=6))
    assert Client().get("/readyz").json()["alerts"] == "last looked at 360 s ago"


@pytest.mark.django_db
def test_not_ready_with_a_full_disk(monkeypatch: pytest.MonkeyPatch):
    """The limit is moved above what any disk has."""
    monkeypatch.setattr(health, "FREE_LEAST_BYTES", 2**70)
    response = Client().get("/readyz?without=workers")
    assert response.status_code == 503
    assert re.fullmatch(r"\d+ MB free", response.json()["disk"])
