"""Searches that read an index: every recipient, a domain, a cause, an age; on both databases, and exact."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from queues.desk import bounded, filters
from queues.desk.selection import Selection
from queues.email.models import EmailMessage
from queues.engine.states import Status
from tests.queues.desk.people import client_of, mail

pytestmark = pytest.mark.django_db

LIST = "/admin/queues/emailmessage/"


def found(search: str, **more: Any) -> list[int]:
    rows = Selection(search=search, **more).apply(EmailMessage.objects.all()).order_by("pk")
    return list(rows.values_list("pk", flat=True))


def plan(search: str) -> str:
    """How the database would look for it, told that a look at the whole table is dear."""
    rows = Selection(search=search).apply(EmailMessage.objects.all()).order_by("-pk").values("pk")[:51]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_indexscan = off")
    return str(rows.explain())


def several(*recipients: str) -> EmailMessage:
    return mail(recipient=recipients[0], to=list(recipients), recipients=list(recipients))


class TestRecipients:
    def test_every_one_of_them_finds_the_mail(self):
        item, _other = several("anna@example.com", "bob@example.com", "carl@example.org"), mail()
        for address in ("anna@example.com", "Bob@Example.com", "Carl <carl@example.org>"):
            assert found(f'"{address}"') == [item.pk], address
            assert found(f'to:"{address}"') == [item.pk], address
        assert found("nobody@example.com") == []

    @pytest.mark.parametrize("address", ["%@example.com", 'a"b@example.com', "bob@example.co", "ob@example.com"])
    def test_nothing_but_the_whole_address(self, address: str):
        several("anna@example.com", "bob@example.com")
        assert found('"' + address.replace('"', '\\"') + '"') == []

    def test_it_is_an_index_hit(self):
        several("anna@example.com", "bob@example.com")
        assert "emailmessage_recipients" in plan("bob@example.com")
        assert "emailmessage_recipients" in plan("to:bob@example.com")


class TestDomain:
    def test_a_domain_is_that_of_the_first_recipient(self):
        item, other = mail(recipient="anna@example.com"), mail(recipient="anna@sub.example.com")
        assert found("to:*@example.com") == [item.pk]
        assert found("to:*@EXAMPLE.com") == [item.pk]
        assert found("to:*example.com") == [item.pk, other.pk]

    def test_it_is_an_index_hit_where_the_table_can_be_large(self):
        if connection.vendor != "postgresql":
            pytest.skip("the index of domains is PostgreSQL's")
        assert "emailmessage_domains" in plan("to:*@example.com")
        assert "emailmessage_kinds" in plan("type:receipt")


def test_a_cause_is_an_index_hit():
    item, _none = mail(last_code="smtp 451"), mail(Status.SUCCEEDED)
    assert found('error:"smtp 451"') == [item.pk]
    assert found("error:smtp*") == [item.pk]
    assert "emailmessage_cause" in plan('error:"smtp 451"')


class TestAge:
    def test_a_list_begins_where_its_rows_are(self):
        now = timezone.now()
        items = [mail(created_at=now - timedelta(hours=hours)) for hours in (72, 48, 24, 2, 0)]
        for text, expected in [("age>36h", items[:2]), ("age<36h", items[2:]), ("age>30h age<60h", items[1:2])]:
            given = filters.parse(text, now=now)
            for hinted in (False, True):
                rows = EmailMessage.objects.filter(given.rows(now=now, hinted=hinted)).order_by("pk")
                assert list(rows) == expected, (text, hinted)
        for text in ("age>100d", "age<1s"):
            rows = EmailMessage.objects.filter(filters.parse(text, now=now).rows(now=now, hinted=True))
            assert rows.count() in (0, 1)

    def test_an_act_does_not_rely_on_the_order_of_ids(self):
        now = timezone.now()
        mail(created_at=now - timedelta(hours=1))
        old = mail(created_at=now - timedelta(days=9))
        mail(created_at=now)
        assert found("age>3d") == [old.pk]


def test_dead_letters_by_how_long_ago_they_died():
    now = timezone.now()
    old, new = mail(dead_at=now - timedelta(hours=3)), mail(dead_at=now - timedelta(minutes=3))
    mail(Status.CANCELLED, dead_at=now - timedelta(minutes=3))
    assert (found("dead<1h"), found("dead>1h")) == ([new.pk], [old.pk])
    page = client_of("operator").get(f"{LIST}?q=dead<1h").content.decode()
    assert f'data-item="{new.pk}"' in page


def test_a_number_that_takes_too_long_is_estimated_and_says_so(monkeypatch: pytest.MonkeyPatch):
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL says what it expects")
    [mail() for _ in range(3)]

    def give_up(*_given: Any, **_more: Any) -> Any:
        raise bounded.TookTooLong

    with monkeypatch.context() as patched:
        patched.setattr(bounded, "budget", give_up)
        guess = bounded.count(EmailMessage.objects.all(), or_estimate=True)
        assert bounded.count(EmailMessage.objects.all()) == bounded.Count(None)
    assert guess.estimated
    assert str(guess).startswith("≈ ")
