"""What the database does for a claim and a sweep: index probes whose cost does not grow with what is finished."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.db import connection

from queues.engine import claim, transitions
from queues.engine.drain import Drain, next_due
from tests.queues.engine.conftest import T0, job_queue
from tests.queues.engine.many import fill
from tests.samplequeue.models import Job, LanedJob

pytestmark = pytest.mark.django_db

STATEMENTS: dict[str, Callable[[], object]] = {
    "claim": lambda: claim.claim(Job, limit=50, worker="w", now=T0),
    "claim with lanes": lambda: claim.claim(LanedJob, limit=50, worker="w", now=T0),
    "claim beside a paused kind": lambda: claim.claim(Job, limit=50, worker="w", now=T0, without_kinds=["p"]),
    "next due": lambda: next_due(job_queue()),
    "reclaim": lambda: transitions.reclaim(job_queue(), now=T0),
    "expire": lambda: transitions.expire(job_queue(), now=T0),
}


def cost(run: Callable[[], object]) -> int:
    """What the database did for `run`: pages touched on PostgreSQL, hundreds of machine steps on SQLite."""
    if connection.vendor == "sqlite":
        steps = 0

        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        connection.connection.set_progress_handler(step, 100)
        try:
            run()
        finally:
            connection.connection.set_progress_handler(None, 100)
        return steps
    pages = 0

    def explain(execute, sql, params, many, context):
        nonlocal pages
        if sql.startswith(("SELECT", "UPDATE", "WITH")):
            with connection.cursor() as cursor:
                cursor.execute("SAVEPOINT explained")
                cursor.cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {sql}", params)
                plan = "\n".join(row[0] for row in cursor.cursor.fetchall())
                cursor.execute("ROLLBACK TO explained")
            touched = re.search(r"Buffers: shared (.*)", plan)
            pages += sum(int(n) for n in re.findall(r"(?:hit|read)=(\d+)", touched[1])) if touched else 0
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        run()
    return pages


def pending_again() -> None:
    """Undo a claim."""
    for model in (Job, LanedJob):
        held = model.objects.filter(status="processing")
        held.update(status="pending", lease_token=None, leased_until=None, attempts=0, runs=0)


@pytest.mark.parametrize("name", STATEMENTS)
def test_what_is_finished_costs_nothing(name: str) -> None:
    for model in (Job, LanedJob):
        fill(500, model=model, due="-n", status="pending", lane="'lane-' || n")
        fill(15_000, model=model, due="-n - 1000", lane="'lane-' || (n %% 500)")
    for _ in range(3):  # rows that were claimed and given back before, so that both are measured on the like
        few = cost(STATEMENTS[name])
        pending_again()
    for model in (Job, LanedJob):
        fill(45_000, model=model, due="-n - 1000", lane="'lane-' || (n %% 500)")

    # A claim also puts 50 rows into each index, and indexes get deeper.
    many = cost(STATEMENTS[name])
    assert many < 1.6 * few + 30


@pytest.mark.slow
def test_a_claim_beside_a_million_finished_rows_is_as_cheap_as_without(postgres: bool) -> None:
    if not postgres:
        pytest.skip("a million rows are inserted on PostgreSQL only")
    fill(1_000, due="-n", status="pending")
    alone = cost(STATEMENTS["claim"])
    pending_again()
    fill(1_000_000, due="-(n %% 100000)")
    fill(99_000, due="-n", status="pending", priority=2)
    fill(100_000, due="n", status="retrying", priority=0)  # more urgent, and snoozed into the future

    plans: list[str] = []
    with connection.execute_wrapper(_plan_is_kept(plans)):
        beside = cost(STATEMENTS["claim"])

    # Deeper indexes for the 50 rows, and nothing else: the finished rows alone are 20,000 pages.
    assert beside < 2 * alone
    assert cost(STATEMENTS["next due"]) < 30
    assert cost(STATEMENTS["reclaim"]) < 30
    assert cost(STATEMENTS["expire"]) < 30
    assert all("job_due" in plan and "Seq Scan" not in plan for plan in plans)


def _plan_is_kept(plans: list[str]) -> Callable[..., object]:
    def wrapper(execute, sql, params, many, context):
        if "samplequeue_job" in sql and not sql.startswith("EXPLAIN"):
            with connection.cursor() as cursor:
                cursor.cursor.execute(f"EXPLAIN {sql}", params)
                plans.append("\n".join(row[0] for row in cursor.cursor.fetchall()))
        return execute(sql, params, many, context)

    return wrapper


def test_a_plan_that_was_kept_since_the_table_was_empty_is_made_anew_with_the_next_sweep(postgres: bool) -> None:
    """Statements are prepared, and nobody says when the statistics are next made."""
    if not postgres:
        pytest.skip("SQLite plans by the schema")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    for _ in range(12):
        STATEMENTS["claim"]()
    fill(20_000, due="-n", lane="'lane-' || n", analyze=False)
    fill(500, due="-n", status="pending", lane="'lane-' || n", analyze=False)
    counts: list[int] = []
    queue = job_queue(lambda item, context: counts.append(item.pk), batch=20)
    before = _rows_read_by_scans()

    Drain(queue, clock=lambda: T0, stopping=lambda: bool(counts)).run()

    assert counts
    assert _rows_read_by_scans() - before < 1_000


def _rows_read_by_scans() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(seq_tup_read) FROM pg_stat_xact_user_tables WHERE relname LIKE 'samplequeue_%%'")
        return int(cursor.fetchone()[0])


def test_many_rows_that_wait_in_one_lane_cost_no_more_than_a_few() -> None:
    fill(200, model=LanedJob, due="-n", status="pending", lane="'busy'")
    fill(20, model=LanedJob, due="n - 100000", status="pending", lane="'lane-' || n")
    few = cost(STATEMENTS["claim with lanes"])
    pending_again()
    fill(3_800, model=LanedJob, due="-n", status="pending", lane="'busy'")

    # Each waiting row of the lane is looked at, but not once for each other one.
    assert cost(STATEMENTS["claim with lanes"]) < 25 * few
