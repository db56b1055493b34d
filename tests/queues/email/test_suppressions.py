"""Suppressions: which mail an address is barred from, and how it comes to be."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from queues.email import suppressions, types
from queues.email.models import Suppression
from queues.email.suppressions import Block

pytestmark = pytest.mark.django_db

ORDINARY = types.EmailType(name="receipt")
BULK = types.EmailType(name="newsletter", bulk=True)
OTHER_BULK = types.EmailType(name="offers", bulk=True)
ESSENTIAL = types.EmailType(name="password_reset", essential=True)


@pytest.mark.parametrize(
    ("cause", "scope", "stopped"),
    [
        ("hard_bounce", "all", {"receipt", "newsletter", "offers", "password_reset"}),
        ("manual", "all", {"receipt", "newsletter", "offers", "password_reset"}),
        ("complaint", "all", {"receipt", "newsletter", "offers"}),
        ("unsubscribe", "bulk", {"newsletter", "offers"}),
        ("manual", "bulk", {"newsletter", "offers"}),
        ("unsubscribe", "newsletter", {"newsletter"}),
        ("manual", "password_reset", {"password_reset"}),
        ("unsubscribe", "no_such_type", set()),
    ],
)
def test_a_block_stops_the_mail_it_is_for(cause: str, scope: str, stopped: set[str]):
    block = Block(scope=scope, cause=cause)
    all_types = (ORDINARY, BULK, OTHER_BULK, ESSENTIAL)
    assert {kind.name for kind in all_types if suppressions.applies(block, kind)} == stopped


def test_a_batch_costs_one_query(django_assert_num_queries: DjangoAssertNumQueries):
    suppressions.suppress(address="Anna <Anna@Example.com>", cause="hard_bounce")
    suppressions.suppress(address="anna@example.com", cause="unsubscribe", scope="bulk")
    suppressions.suppress(address="bob@bücher.example", cause="complaint")
    wanted = ["anna@example.com", "bob@xn--bcher-kva.example", *(f"x{n}@example.com" for n in range(1000))]
    with django_assert_num_queries(1):
        found = suppressions.blocked(wanted, now=timezone.now())
    assert set(found) == {"anna@example.com", "bob@xn--bcher-kva.example"}
    assert sorted(map(str, found["anna@example.com"])) == ["hard_bounce (all)", "unsubscribe (bulk)"]


def test_no_address_costs_no_query(django_assert_num_queries: DjangoAssertNumQueries):
    with django_assert_num_queries(0):
        assert suppressions.blocked([], now=timezone.now()) == {}


def test_more_addresses_than_a_query_takes_are_all_looked_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(suppressions, "QUERY_MAX", 2)
    for n in range(5):
        suppressions.suppress(address=f"x{n}@example.com", cause="manual")
    assert len(suppressions.blocked([f"x{n}@example.com" for n in range(5)], now=timezone.now())) == 5


def test_suppressing_again_changes_nothing():
    suppressions.suppress(address="a@example.com", cause="complaint", words="first", message_id=1)
    suppressions.suppress(address="A@example.com", cause="complaint", words="second", message_id=2)
    row = Suppression.objects.get()
    assert (row.words, row.message_id) == ("first", 1)


def test_a_dead_address_is_no_mere_complaint_any_more():
    suppressions.suppress(address="a@example.com", cause="complaint", words="spam")
    suppressions.suppress(address="a@example.com", cause="hard_bounce", words="no such user", message_id=7)
    row = Suppression.objects.get()
    assert (row.cause, row.words, row.message_id) == ("hard_bounce", "no such user", 7)


def test_a_weaker_cause_does_not_replace_a_stronger():
    suppressions.suppress(address="a@example.com", cause="hard_bounce", words="no such user")
    suppressions.suppress(address="a@example.com", cause="complaint")
    assert Suppression.objects.get().cause == "hard_bounce"


def test_of_two_strong_causes_the_first_stays():
    suppressions.suppress(address="a@example.com", cause="hard_bounce", words="no such user")
    suppressions.suppress(address="a@example.com", cause="manual", words="asked by telephone")
    row = Suppression.objects.get()
    assert (row.cause, row.words) == ("hard_bounce", "no such user")


def test_what_was_lifted_does_not_block_and_can_come_again():
    suppressions.suppress(address="a@example.com", cause="hard_bounce")
    assert Suppression.objects.get().lift(by=None, now=timezone.now())
    assert suppressions.blocked(["a@example.com"], now=timezone.now()) == {}
    suppressions.suppress(address="a@example.com", cause="hard_bounce")
    assert suppressions.blocked(["a@example.com"], now=timezone.now())
    assert Suppression.objects.count() == 2


@pytest.mark.parametrize("address", ["", "anna", "a@b, c@d", "a\r\n@example.com"])
def test_what_is_no_address_is_refused(address: str):
    with pytest.raises(ValueError):
        suppressions.suppress(address=address, cause="manual")
    assert not Suppression.objects.exists()


def test_an_unknown_cause_is_refused():
    with pytest.raises(ValueError):
        suppressions.suppress(address="a@example.com", cause="mood")


def test_words_fit_the_column():
    suppressions.suppress(address="a@example.com", cause="manual", words="x\x00" + "y" * 5000)
    assert len(Suppression.objects.get().words) == suppressions.WORDS_MAX


@pytest.mark.django_db(transaction=True)
def test_many_at_once_in_transactions_of_their_own_leave_one_row():
    """A conflict inside the caller's transaction must not break that transaction."""
    together, failures = threading.Barrier(4), []

    def suppress() -> None:
        try:
            with transaction.atomic():
                together.wait(10)
                suppressions.suppress(address="a@example.com", cause="complaint")
                suppressions.suppress(address="a@example.com", cause="hard_bounce")
                assert Suppression.objects.filter(lifted_at__isnull=True).count() == 1
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    # SQLite's transactions run one after the other, so there they cannot meet at a barrier inside
    if connection.vendor == "sqlite":
        together = threading.Barrier(1)
    threads = [threading.Thread(target=suppress) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures
    assert Suppression.objects.get().cause == "hard_bounce"
