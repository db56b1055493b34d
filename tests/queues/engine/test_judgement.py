"""When the supervisor starts its cluster again: its judgement alone, over a clock that the test moves."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule

from queues.engine import heartbeats, recurring, registry, supervise, wake
from queues.engine.cluster import Cluster
from queues.engine.pulse import Heard, Pulse
from queues.engine.recurring import Recurring
from queues.engine.supervise import Supervisor
from tests.queues.engine.conftest import job_queue
from tests.samplequeue.models import Job

BEGUN = 1_000_000.0
"""The monotonic second at which the cluster of these tests was started."""


class Processes(Cluster):
    """A cluster without processes, which notes what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: int | None = None
        self.at_work = 0
        self.done: list[str] = []

    def start(self) -> int:
        self.done.append("start")
        return 1

    def status(self) -> int | None:
        return self.ended

    def busy(self) -> int:
        return self.at_work

    def put_down(self, **_how: object) -> None:
        self.done.append("put down")
        self.ended = None


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    """A supervisor whose cluster was started at BEGUN and has answered since."""
    one = Supervisor(cluster=Processes())
    one.look(clock=BEGUN)
    one.pulse.heard = Heard(at=BEGUN + 1, since=BEGUN - 100, beat_at=BEGUN + 1)
    return one


def heard(supervisor: Supervisor, *, at: float, **more: float) -> None:
    """The database was asked at that second; the last heartbeat stays what it was unless it is given."""
    before = supervisor.pulse.heard
    given = {"since": before.since, "beat_at": before.beat_at, "standing_since": before.standing_since, **more}
    supervisor.pulse.heard = Heard(at=BEGUN + at, **given)  # type: ignore[arg-type]


def test_a_cluster_that_answers_is_left_alone(supervisor: Supervisor) -> None:
    """Whenever the last heartbeat was."""
    heard(supervisor, at=500, beat_at=BEGUN + 476)
    assert supervisor.verdict(clock=BEGUN + 500) == ""


def test_silence_ends_it(supervisor: Supervisor) -> None:
    """After twenty-five seconds, and not before."""
    heard(supervisor, at=25)
    assert supervisor.verdict(clock=BEGUN + 25) == ""
    heard(supervisor, at=26)
    assert supervisor.verdict(clock=BEGUN + 26.5) == "no heartbeat for 26 s"


def test_one_worker_less_than_all_at_work_is_no_excuse(supervisor: Supervisor) -> None:
    """With all at work there is nobody to answer; with one idle there is."""
    assert isinstance(supervisor.cluster, Processes)
    heard(supervisor, at=100)
    supervisor.cluster.at_work = Conf.WORKERS
    assert supervisor.verdict(clock=BEGUN + 100) == ""
    supervisor.cluster.at_work = Conf.WORKERS - 1
    assert supervisor.verdict(clock=BEGUN + 100) != ""


def test_a_first_heartbeat_may_take_longer(supervisor: Supervisor) -> None:
    """With a short silence on a busy machine, a cluster that never came up is told from one that still comes."""
    supervisor.silence = 3
    heard(supervisor, at=29, beat_at=BEGUN - 1)
    assert supervisor.verdict(clock=BEGUN + 29) == ""
    heard(supervisor, at=31, beat_at=BEGUN - 1)
    assert supervisor.verdict(clock=BEGUN + 31) != ""


def test_nothing_is_judged_while_nothing_can_be_heard(supervisor: Supervisor) -> None:
    """The database is away; once it is back, the silence counts from then."""
    heard(supervisor, at=10)
    assert supervisor.verdict(clock=BEGUN + 300) == ""
    heard(supervisor, at=300, since=BEGUN + 300)
    assert supervisor.verdict(clock=BEGUN + 300) == ""
    heard(supervisor, at=326, since=BEGUN + 300)
    assert supervisor.verdict(clock=BEGUN + 326) != ""


def test_a_machine_that_slept_judges_nothing(supervisor: Supervisor) -> None:
    """The look after a suspension begins anew."""
    assert isinstance(supervisor.cluster, Processes)
    heard(supervisor, at=3600)
    supervisor.look(clock=BEGUN + 3600)
    assert supervisor.cluster.done == ["start"]


def test_a_dead_main_process_ends_it(supervisor: Supervisor) -> None:
    """Also with status 0: nobody asked it to end."""
    assert isinstance(supervisor.cluster, Processes)
    supervisor.cluster.ended = 0
    assert supervisor.verdict(clock=BEGUN + 1) == "its main process ended with status 0"


def test_a_clock_that_stands_still_ends_it_less_and_less_often(supervisor: Supervisor) -> None:
    """A row that the scheduler cannot read stands still for ever, and no restart helps against that."""
    seconds = []
    for second in range(0, 8000, 5):
        heard(supervisor, at=second, beat_at=BEGUN + second, standing_since=BEGUN)
        if supervisor.verdict(clock=BEGUN + second):
            seconds.append(second)
            supervisor.started_at = BEGUN + second
    waits = [later - sooner for sooner, later in zip([0, *seconds], seconds, strict=False)]
    assert waits == [65, 125, 245, 485, 965, 1925, 3845]


def test_restarts_come_at_growing_distances(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, after 1 s, 2 s, ... up to a minute; a steady life in between, and it begins anew."""
    assert isinstance(supervisor.cluster, Processes)
    clock = BEGUN
    monkeypatch.setattr(supervise, "time", SimpleNamespace(monotonic=lambda: clock))
    waits = []
    for lived in (1, 1, 1, 1, 1, 1, 1, 1, 1, 700, 1):
        clock += lived
        supervisor.looked_at = clock
        supervisor.cluster.ended = 1
        supervisor.look(clock=clock)
        waits.append(supervisor.not_before - clock)
        clock = supervisor.looked_at = supervisor.not_before
        supervisor.look(clock=clock)
        assert supervisor.cluster.done[-1] == "start"
    assert waits == [0, 1, 2, 4, 8, 16, 32, 60, 60, 0, 1]


@pytest.mark.django_db(transaction=True)
class TestPulse:
    """What one round hears and asks."""

    @pytest.fixture
    def pulse(self) -> Pulse:
        """The talk of a supervisor whose cluster runs."""
        return Pulse(running=True)

    def test_a_heartbeat_counts_when_it_changes(self, pulse: Pulse) -> None:
        """Not by its own time: a clock that is set back or forth kills no cluster."""
        heartbeats.beat(name=f"cluster:{pulse.host}", now=timezone.now() - timedelta(days=400))
        pulse.round()
        assert pulse.heard.beat_at == float("-inf")
        heartbeats.beat(name=f"cluster:{pulse.host}", now=timezone.now() - timedelta(days=300))
        pulse.round()
        first = pulse.heard.beat_at
        assert first == pulse.heard.at
        pulse.round()
        assert pulse.heard.beat_at == first < pulse.heard.at

    def test_a_pause_in_the_rounds_begins_the_silence_anew(self, pulse: Pulse) -> None:
        """Whatever made it."""
        pulse.round()
        since = pulse.heard.since
        pulse.round()
        assert pulse.heard.since == since
        pulse.heard.at -= 100
        pulse.round()
        assert pulse.heard.since == pulse.heard.at > since

    def test_it_asks_through_the_machines_own_queue(self, pulse: Pulse) -> None:
        """Once in a while, and only while somebody is there to answer."""
        pulse.round()
        pulse.round()
        (asked,) = OrmQ.objects.all()
        assert asked.key == f"redrive/{pulse.host}"
        assert asked.task["args"] == (pulse.host,)
        assert heartbeats.age(name=f"supervisor:{pulse.host}", now=timezone.now()) is not None
        resting = Pulse(running=False)
        resting.round()
        assert OrmQ.objects.count() == 1

    def test_a_schedule_that_stands_still_is_dated(self, pulse: Pulse) -> None:
        """From the first round that saw it."""
        Schedule.objects.all().delete()
        entry = Recurring(name="look", task="queues.tasks.reclaim", minutes=1)
        recurring.sync([entry], now=timezone.now() - timedelta(minutes=2))
        pulse.round()
        since = pulse.heard.standing_since
        assert since == pulse.heard.at
        pulse.round()
        assert pulse.heard.standing_since == since
        Schedule.objects.update(next_run=timezone.now())
        pulse.round()
        assert pulse.heard.standing_since is None

    def test_work_that_nobody_came_for_is_hinted_at_once(self, pulse: Pulse, monkeypatch: pytest.MonkeyPatch) -> None:
        """Once for the same first item: if a pause holds it, drains that find nothing are not started all day."""
        hints: list[str] = []
        monkeypatch.setattr(registry, "all_queues", lambda: [job_queue()])
        monkeypatch.setattr(wake, "soon", hints.append)
        now = timezone.now()
        Job.objects.create(idempotency_key="later", due_at=now + timedelta(minutes=1))
        pulse.round()
        assert hints == []
        first = Job.objects.create(idempotency_key="missed", due_at=now - timedelta(seconds=2))
        Job.objects.create(idempotency_key="next", due_at=now - timedelta(seconds=1.5))
        pulse.round()
        pulse.round()
        assert hints == ["job"]
        first.delete()
        pulse.round()
        assert hints == ["job", "job"]
