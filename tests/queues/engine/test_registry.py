"""What is registered, and what pauses say of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from queues.engine import registry
from queues.engine.pauses import Pause, paused_kinds
from queues.engine.registry import Limit
from tests.queues.engine.conftest import T0, job_queue
from tests.samplequeue.models import Job, LanedJob


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_queues", {})


def test_a_queue_is_found_by_its_name_and_its_model() -> None:
    one, other = job_queue(), job_queue(name="laned", model=LanedJob)
    registry.register(other)
    registry.register(one)
    assert registry.get("job") is one
    assert registry.for_model(LanedJob) is other
    assert registry.all_queues() == [one, other]


def test_registering_again_replaces_but_not_with_another_model() -> None:
    registry.register(job_queue())
    again = job_queue(batch=7)
    registry.register(again)
    assert registry.get("job") is again
    with pytest.raises(ValueError, match="two queues are named 'job'"):
        registry.register(job_queue(model=LanedJob))


def test_an_unknown_one_is_named_with_those_there_are() -> None:
    with pytest.raises(LookupError, match="none"):
        registry.get("emial")
    registry.register(job_queue())
    with pytest.raises(LookupError, match="'emial'; there are: job"):
        registry.get("emial")
    with pytest.raises(LookupError, match="LanedJob"):
        registry.for_model(LanedJob)
    assert registry.for_model(Job).name == "job"


def test_a_limits_key() -> None:
    assert (Limit("email").key, Limit("email.recipient", "a@x").key) == ("email", "email.recipient:a@x")


@pytest.mark.django_db
def test_a_pause_is_of_a_queue_or_a_kind_and_may_end_by_itself() -> None:
    minute = timedelta(minutes=1)
    Pause.objects.create(queue="job", kind="x", reason="r", paused_at=T0)
    Pause.objects.create(queue="job", kind="y", reason="r", paused_at=T0, resume_at=T0 + minute)
    Pause.objects.create(queue="other", reason="r", paused_at=T0)
    assert sorted(paused_kinds(queue="job", now=T0)) == ["x", "y"]
    assert paused_kinds(queue="job", now=T0 + minute) == ["x"]
    assert paused_kinds(queue="other", now=T0) == [""]
    assert paused_kinds(queue="third", now=T0) == []
