"""The limiter on the database: all or nothing over several keys, lines, what is given back, one statement a batch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from queues.engine import limiter
from queues.engine.limiter import RateCounter, Want
from queues.engine.registry import Limit

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ALL = Limit("all")
ANNA, BERT, CLEO = (
    Limit("each", "anna@example.com"),
    Limit("each", "bert@example.com"),
    Limit("each", "cleo@example.com"),
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _limits(settings: Settings) -> None:
    settings.RATE_LIMITS = {"all": (5, 60), "each": (2, 60), "odd": (3, 7)}


def ask(*limits: Limit, times: int = 1, at: datetime = AT, **flags: bool) -> list[limiter.Grant]:
    return limiter.grant([Want(limits, **flags)] * times, at=at)


def granted(*limits: Limit, times: int = 1, at: datetime = AT, **flags: bool) -> int:
    return sum(grant.granted for grant in ask(*limits, times=times, at=at, **flags))


def test_no_more_than_the_limit_is_granted_in_any_window() -> None:
    assert granted(ALL, times=8) == 5
    assert granted(ALL, times=8, at=AT + timedelta(seconds=59)) == 0
    assert granted(ALL, times=8, at=AT + timedelta(seconds=61)) == 5


def test_who_is_refused_is_told_the_limit_and_the_instant() -> None:
    answers = ask(ALL, times=6)

    assert answers[0] == limiter.Grant(True, at=AT)
    assert answers[5] == limiter.Grant(False, limit="all", until=AT + timedelta(seconds=61))


@pytest.mark.parametrize("millisecond", [0, 1, 333, 999])
def test_who_comes_at_the_instant_it_was_told_is_granted(millisecond: int) -> None:
    one = Limit("odd", "x")  # 7 s: the slots of its window begin at fractions of a microsecond
    at = AT + timedelta(milliseconds=millisecond)
    until = ask(one, times=4, at=at)[3].until

    assert until is not None
    assert timedelta(seconds=7) <= until - at <= timedelta(seconds=7 * (1 + 1 / 60), microseconds=1)
    assert granted(one, at=until - timedelta(microseconds=1), waits=False) == 0
    assert granted(one, at=until, ahead=True, promised=True) == 1


def test_several_keys_are_granted_all_or_none() -> None:
    assert granted(ANNA, BERT, times=2) == 2
    (refused,) = ask(ANNA, CLEO)
    assert (refused.granted, refused.limit) == (False, "each")
    # Cleo's counter is untouched by it.
    assert granted(CLEO, times=3) == 2


def test_the_refusing_limit_is_the_one_that_makes_it_wait_longest() -> None:
    ask(Limit("odd", "x"), times=3)
    ask(ALL, times=5, at=AT - timedelta(seconds=30))

    (refused,) = ask(ALL, Limit("odd", "x"))

    assert refused.limit == "all"
    assert refused.until == AT + timedelta(seconds=31)


def test_the_same_key_twice_in_one_want_is_one_unit() -> None:
    assert granted(ANNA, Limit("each", "anna@example.com"), times=3) == 2


def test_a_line_is_kept_for_a_subject_and_nobody_overtakes_it() -> None:
    answers = ask(ANNA, times=6)
    assert [grant.until for grant in answers[2:]] == [AT + timedelta(seconds=s) for s in (61, 61, 122, 122)]

    newcomer = ask(ANNA, at=AT + timedelta(seconds=61))[0]
    assert newcomer.until == AT + timedelta(seconds=183)
    assert granted(ANNA, times=2, at=AT + timedelta(seconds=61), ahead=True, promised=True) == 2


def test_a_promise_that_was_used_takes_no_room() -> None:
    ask(ANNA, times=3)  # one is promised second 61
    later = AT + timedelta(seconds=61)
    assert granted(ANNA, at=later, ahead=True, promised=True) == 1
    assert granted(ANNA, at=later) == 1
    assert granted(ANNA, at=later) == 0


def test_somebody_urgent_passes_the_line_but_not_the_limit() -> None:
    ask(ANNA, times=50)
    assert ask(ANNA, ahead=True)[0].until == AT + timedelta(seconds=61)
    assert granted(ANNA, times=3, at=AT + timedelta(seconds=61), ahead=True) == 2


def test_a_limit_without_a_subject_keeps_no_line() -> None:
    answers = ask(ALL, times=500)

    assert {grant.until for grant in answers[5:]} == {AT + timedelta(seconds=61)}
    assert granted(ALL, times=500, at=AT + timedelta(seconds=61)) == 5


def test_who_waits_for_another_limit_keeps_nobody_out_of_this_one() -> None:
    ask(ALL, times=5, at=AT + timedelta(seconds=30))
    ask(ANNA, times=2)
    # Each of them is refused by both, and waits for the limit that it is told: not in Anna's line.
    assert {grant.limit for grant in ask(ALL, ANNA, times=20, at=AT + timedelta(seconds=31))} == {"all"}
    assert ask(ANNA, at=AT + timedelta(seconds=31))[0].until == AT + timedelta(seconds=61)


def test_take_keeps_no_promise_however_often_it_is_tried() -> None:
    for _ in range(2):
        assert limiter.take([ANNA], at=AT).granted
    for _ in range(30):
        assert limiter.take([ANNA], at=AT).until == AT + timedelta(seconds=61)
    assert granted(ANNA, times=2, at=AT + timedelta(seconds=61)) == 2


def test_what_is_given_back_can_be_granted_again_at_once() -> None:
    first = ask(ANNA, times=2)[0]
    limiter.give_back([ANNA], granted_at=first.at)
    assert granted(ANNA, times=3, waits=False) == 1


def test_giving_back_frees_no_place_before_its_time() -> None:
    first, _ = ask(ANNA)[0], ask(ANNA, at=AT + timedelta(seconds=30))
    later = AT + timedelta(seconds=59)
    limiter.give_back([ANNA], granted_at=first.at)
    assert granted(ANNA, times=2, at=later, waits=False) == 1
    # Seconds 30 and 59 are taken until 90 and 119.
    assert granted(ANNA, times=2, at=AT + timedelta(seconds=62), waits=False) == 0
    assert granted(ANNA, times=2, at=AT + timedelta(seconds=92), waits=False) == 1


def test_giving_back_never_frees_more_than_was_granted() -> None:
    first = ask(ANNA)[0]
    for _ in range(5):
        limiter.give_back([ANNA, ANNA], granted_at=first.at)
    limiter.give_back([ANNA], granted_at=AT + timedelta(seconds=30))
    limiter.give_back([BERT], granted_at=AT)  # never heard of
    assert granted(ANNA, times=5, at=AT + timedelta(seconds=1)) == 2


def test_a_clock_that_is_put_back_blocks_for_a_window_and_not_for_a_year() -> None:
    ask(ANNA, times=2, at=AT + timedelta(days=365))

    assert granted(ANNA, waits=False) == 0
    assert granted(ANNA, at=AT + timedelta(seconds=60), waits=False) == 0
    assert granted(ANNA, times=3, at=AT + timedelta(seconds=61), waits=False) == 2


@pytest.mark.parametrize(("before", "after"), [(60, 3600), (3600, 60)])
def test_a_changed_window_counts_on_what_was_granted_before(before: int, after: int, settings: Settings) -> None:
    settings.RATE_LIMITS = {"each": (2, before)}
    ask(ANNA, times=3)
    settings.RATE_LIMITS = {"each": (2, after)}

    assert granted(ANNA, at=AT + timedelta(seconds=1), waits=False) == 0
    freed = AT + timedelta(seconds=after * (1 + 2 / 60) + before / 60)
    assert granted(ANNA, times=3, at=freed, ahead=True) == 2


def test_a_limit_of_zero_refuses_for_a_window(settings: Settings) -> None:
    settings.RATE_LIMITS = {"each": (0, 60)}
    answers = ask(ANNA, times=3)
    assert [grant.granted for grant in answers] == [False] * 3
    assert all(grant.until == AT + timedelta(seconds=61) for grant in answers)


def test_an_unknown_limit_is_named() -> None:
    with pytest.raises(KeyError, match="nonsense"):
        ask(Limit("nonsense"))


def test_cleaning_removes_only_what_counts_no_more() -> None:
    ask(ANNA, times=2)
    ask(BERT, at=AT - timedelta(days=1))

    assert limiter.clean(now=AT + timedelta(seconds=59)) == 1
    assert [row.key for row in RateCounter.objects.all()] == ["each:anna@example.com"]
    assert granted(ANNA, at=AT + timedelta(seconds=59)) == 0


def test_without_a_given_instant_the_database_tells_the_time() -> None:
    before = datetime.now(UTC)
    (grant,) = limiter.grant([Want((ALL,))])
    assert grant.at is not None
    assert abs(grant.at - before) < timedelta(seconds=5)


def test_a_batch_is_one_statement_on_postgresql(postgres: bool) -> None:
    wants = [Want((ALL, Limit("each", f"{number}@example.com"))) for number in range(50)]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        limiter.grant(wants, at=AT)
    if postgres:
        assert len(queries) == 1
    else:  # a transaction: savepoint of the test, one read, one write
        assert len([query for query in queries if "SAVEPOINT" not in query["sql"]]) == 2


@pytest.mark.once
def test_ten_thousand_who_wait_for_one_key_are_told_at_once_and_in_order() -> None:
    answers: list[limiter.Grant] = []
    for _ in range(200):
        answers += ask(ANNA, times=50)
    untils = [grant.until for grant in answers[2:]]
    assert untils == sorted(untils)
    assert untils[-1] == AT + timedelta(seconds=61 * 4999)


STEPS = st.lists(
    st.tuples(
        st.floats(-90, 130),
        st.lists(
            st.tuples(st.booleans(), st.booleans(), st.booleans(), st.sets(st.integers(0, 4), min_size=1, max_size=4)),
            min_size=1,
            max_size=6,
        ),
    ),
    min_size=1,
    max_size=12,
)


@hypothesis_settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, resize=st.integers(0, 12))
def test_both_implementations_give_the_same_answers(postgres: bool, steps: list, resize: int) -> None:
    if not postgres:
        pytest.skip("compares the function in the database with the arithmetic in Python")
    RateCounter.objects.all().delete()
    at = AT
    for number, (seconds, wanted) in enumerate(steps):
        at += timedelta(seconds=seconds)
        length = 60 if number < resize else 7
        known = [("a", 3, length), ("b", 1, 60), ("c", 2, 3600), ("d", 0, 60), ("e", 5, 7)]
        asked = [
            (ahead + 2 * promised, [(place + 1) * (1 if waits else -1) for place in sorted(places)])
            for ahead, promised, waits, places in wanted
        ]
        ours = limiter._grant_postgres("default", [(f"p{k}", *rest) for k, *rest in known], asked, at)
        theirs = limiter._grant_sqlite("default", [(f"q{k}", *rest) for k, *rest in known], asked, at)
        assert ours == theirs
        rows = RateCounter.objects.in_bulk()
        for key, _, _ in known:
            one, other = rows[f"p{key}"], rows[f"q{key}"]
            assert one.slots == other.slots
            assert one.promises == other.promises
            assert (one.window_seconds, one.used_at) == (other.window_seconds, other.used_at)
