"""Values on their way through one JSON parameter come out as they went in, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DataError, IntegrityError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queues.engine import enqueue
from tests.samplequeue.models import Job

pytestmark = pytest.mark.django_db

AWKWARD = [
    "",
    " ",
    "null",
    "true",
    "1e5",
    "0123",
    "-0",
    "12345678901234567890",
    "1.0",
    "NaN",
    "Infinity",
    "2026-03-01",
    "2026-03-01 12:00:00+00:00",
    "x'00'",
    "NULL",
    "'; DROP TABLE samplequeue_job; --",
    '"',
    '\\"',
    "\\",
    "\\u0041",
    "\\n",
    "%",
    "%s %(name)s %%",
    "$.note",
    "{}",
    "[1, 2]",
    '{"a": "b"}',
    "a\r\nb\tc\x0b\x1f\x7f",
    "\u2028\u2029\ufeff\ufffe\uffff",
    "naïve Ünïcödé – 漢字 – עִבְרִית – 🧑‍🚀",
    "x" * 1_000_000,
    "🧑‍🚀" * 100_000,
]


def through(**values: Any) -> Job:
    """Insert a row and read it again."""
    Job.objects.filter(idempotency_key="k").delete()
    (entry,) = enqueue.insert("job", Job, [{"idempotency_key": "k", **values}])
    return Job.objects.get(pk=entry.item_id)


@pytest.mark.parametrize("text", AWKWARD, ids=lambda text: ascii(text[:20]))
def test_awkward_text_comes_back(text: str) -> None:
    assert through(note=text).note == text


@pytest.mark.parametrize("key", [text for text in AWKWARD if len(text) < 255], ids=lambda text: ascii(text[:20]))
def test_awkward_keys_are_found_again(key: str) -> None:
    first, again = (enqueue.insert("job", Job, [{"idempotency_key": key}])[0] for _ in range(2))
    assert (again.repeated, again.item_id) == (True, first.item_id)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_any_text_comes_back(text: str) -> None:
    assert through(note=text).note == text


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-1e15, 1e15)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=JSON)
def test_any_json_comes_back(data: Any) -> None:
    assert through(data=data).data == data


@pytest.mark.parametrize("data", ["text", "null", "1", "", True, False, 0, 1.5, [], {}, [None], {"a": None}], ids=repr)
def test_json_of_every_kind_comes_back(data: Any) -> None:
    assert through(data=data).data == data


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 3, 1, tzinfo=UTC),
        datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
    ids=str,
)
def test_moments_come_back_to_the_microsecond_and_compare(moment: datetime) -> None:
    assert through(moment=moment).moment == moment
    assert Job.objects.filter(moment=moment, moment__lte=moment, moment__gte=moment).exists()
    assert not Job.objects.filter(moment__lt=moment).exists()


def test_a_moment_of_another_zone_is_the_same_moment() -> None:
    from zoneinfo import ZoneInfo

    moment = datetime(2026, 3, 29, 3, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert through(moment=moment).moment == moment


@pytest.mark.parametrize("number", [0, -1, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("flag", [True, False, None])
def test_numbers_and_flags_come_back(number: int, flag: bool | None) -> None:
    row = through(size=number, flag=flag)
    assert (row.size, row.flag) == (number, flag)


def test_what_is_left_out_or_none_is_null_or_refused() -> None:
    row = through(size=None, data=None, moment=None)
    assert (row.size, row.data, row.moment) == (None, None, None)
    with pytest.raises(IntegrityError):
        through(priority=None)


def test_what_is_too_long_is_refused_and_not_cut() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite does not check lengths")
    with pytest.raises(DataError):
        through(answer="x" * 51)


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\\\x00", "\ud800", "b\udcffc"], ids=ascii)
@pytest.mark.parametrize("column", ["note", "data"])
def test_what_no_database_keeps_is_refused(column: str, text: str) -> None:
    """SQLite would cut it, or store what it cannot read again: then every claim that meets the row would fail."""
    with pytest.raises(ValueError):
        through(**{column: [text] if column == "data" else text})
    assert not Job.objects.exists()


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "u0000", "\\ud800"], ids=ascii)
def test_what_only_looks_like_it_is_kept(text: str) -> None:
    assert through(note=text).note == text
