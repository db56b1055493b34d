"""Failure groups at the desk: counts, trend, what staff say of them, and acts on all items of one."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from queues.desk import bounded, groups
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor, ReasonMissing
from queues.email.models import EmailMessage
from queues.engine.failure_groups import FailureGroup
from queues.engine.states import Status
from tests.queues.desk.people import client_of, mail, person

pytestmark = pytest.mark.django_db

LIST = "/admin/queues/failuregroup/"
MAILS = "/admin/queues/emailmessage/"
PRINT = "00112233445566"
HOUR = timedelta(hours=1)


def group(number: int = 0, **fields: Any) -> FailureGroup:
    now = timezone.now()
    basics: dict[str, Any] = {
        "queue": "email",
        "fingerprint": f"{PRINT}{number:02}",
        "code": f"smtp 45{number}",
        "words": f"45{number} try later",
        "first_seen_at": now - 3 * HOUR,
        "last_seen_at": now,
        "changed_at": now - HOUR,
    }
    return FailureGroup.objects.create(**(basics | fields))


def failing(number: int = 0, status: str = Status.DEAD_LETTER, **fields: Any) -> EmailMessage:
    return mail(status, fingerprint=f"{PRINT}{number:02}", **fields)


@pytest.fixture
def operator() -> Client:
    return client_of("operator")


def text(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


class TestList:
    def test_it_counts_what_fails_now(self, operator: Client):
        group(1), group(2)
        failing(1), failing(1), failing(1, Status.RETRYING), failing(2)
        failing(1, Status.SUCCEEDED), failing(1, hidden_at=timezone.now()), mail()
        page = text(operator, LIST)
        for number, status, count in [(1, "dead_letter", 2), (1, "retrying", 1), (2, "dead_letter", 1)]:
            link = f'href="{MAILS}?status={status}&amp;q=fingerprint%3A{PRINT}{number:02}">{count}</a>'
            assert link in page
        assert f"status=retrying&amp;q=fingerprint%3A{PRINT}02" not in page, "none is no link"

    def test_its_links_list_just_those(self, operator: Client):
        group(1)
        mine, _other = failing(1), failing(2)
        page = text(operator, f"{MAILS}?status=dead_letter&q=fingerprint:{PRINT}01")
        assert re.findall(r'class="desk-tick" name="id" value="(\d+)"', page) == [str(mine.pk)]

    def test_tabs_show_what_is_to_be_looked_after_first(self, operator: Client):
        for number, state in enumerate(FailureGroup.State.values):
            group(number, state=state)
        for query, numbers in [
            ("", [1, 0]),
            ("?state=resolved", [2]),
            ("?state=ignored", [3]),
            ("?state=all", [3, 2, 1, 0]),
        ]:
            assert re.findall(r"<strong>smtp 45(\d)</strong>", text(operator, LIST + query)) == [
                str(n) for n in numbers
            ]

    def test_a_regression_is_said(self, operator: Client):
        group(regressed_at=timezone.now())
        assert "Regressed</span>" in text(operator, LIST)

    def test_a_capped_count_says_so(self, operator: Client, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(bounded, "CAP", 2)
        group(1)
        for _ in range(4):
            failing(1)
        assert ">2+</a>" in text(operator, LIST)

    @pytest.mark.parametrize("query", ["?state=%00", "?queue=x", "?p=x", "?state=resolved&p=99", "?q=%00", "?x=1"])
    def test_hostile_addresses_do_no_harm(self, operator: Client, query: str):
        group()
        assert operator.get(LIST + query).status_code in (200, 302)

    def test_words_of_the_other_side_are_text(self, operator: Client):
        row = group(words="<script>alert(1)</script>", code="<b>", note="<i>")
        for page in (text(operator, LIST), text(operator, f"{LIST}{row.pk}/change/")):
            assert "<script>alert" not in page
            assert "<b>" not in page
            assert "<i>" not in page

    def test_it_asks_only_bounded_questions_and_as_many_for_three_as_for_one(self, operator: Client):
        counts = []
        for number in (1, 2, 3):
            group(number), failing(number)
            operator.get(LIST)
            with CaptureQueriesContext(connection) as queries:
                text(operator, LIST)
            asked = [query["sql"] for query in queries if "queues_" in query["sql"]]
            counts.append(len(asked))
            for sql in asked:
                by_index = "fingerprint" in sql and "dead_at" in sql  # of a page's causes, of one day
                assert "emailmessage" not in sql or "LIMIT" in sql or by_index, sql
                assert "DISTINCT" not in sql
                assert "OFFSET" not in sql
        assert len(set(counts[1:])) == 1
        assert counts[-1] <= 8


class TestTrend:
    def test_dead_letters_by_the_hour(self):
        now = timezone.now().replace(minute=30, second=0, microsecond=0)
        row, other = group(1), group(2)
        for hours, count in [(0, 3), (1, 1), (23, 2), (25, 7)]:
            for _ in range(count):
                failing(1, dead_at=now - hours * HOUR)
        found = groups.trends([row, other], now=now)
        assert found[row.pk] == [2, *[0] * 21, 1, 3]
        assert found[other.pk] == [0] * 24

    def test_it_is_read_from_the_items_own_index(self):
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET LOCAL enable_seqscan = off")
        with CaptureQueriesContext(connection) as queries:
            groups.trends([group(1)], now=timezone.now())
        (sql,) = [query["sql"] for query in queries if "emailmessage" in query["sql"]]
        with connection.cursor() as cursor:
            cursor.execute(("EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN ") + sql)
            plan = str(cursor.fetchall())
        assert "emailmessage_failing" in plan, plan

    def test_what_takes_too_long_says_so(self, operator: Client, monkeypatch: pytest.MonkeyPatch):
        def give_up(*_given: Any, **_more: Any) -> Any:
            raise bounded.TookTooLong

        row = group(1)
        monkeypatch.setattr(groups.bounded, "budget", give_up)
        assert "took too long to count" in text(operator, f"{LIST}{row.pk}/change/")


class TestGroup:
    def test_everything_about_it_is_on_one_page(self, operator: Client):
        row = group(1, note="waits for the provider", regressed_at=timezone.now())
        failing(1), failing(1, Status.RETRYING)
        page = text(operator, f"{LIST}{row.pk}/change/")
        for words in ["smtp 451", "451 try later", "waits for the provider", row.fingerprint, "Regressed"]:
            assert words in page
        assert re.search(
            r'<svg class="desk-bars"[^>]* aria-label="1 dead letters in the last 24 hours, 1 in this one"', page
        )
        assert f'href="{MAILS}act/redrive/?status=dead_letter&amp;q=fingerprint%3A{row.fingerprint}"' in page

    def test_an_act_on_a_group_is_planned_as_any_other(self, operator: Client):
        group(1)
        mine, other = failing(1), failing(2)
        address = f"{MAILS}act/redrive/?status=dead_letter&q=fingerprint:{PRINT}01"
        page = text(operator, address)
        assert '<span class="desk-number">1</span> will be redriven' in page
        (plan,) = set(re.findall(r'name="plan" value="([^"]+)"', page))
        operator.post(address, {"plan": plan, "reason": "repaired"})
        mine.refresh_from_db(), other.refresh_from_db()
        assert (mine.status, other.status) == (Status.PENDING, Status.DEAD_LETTER)

    def test_no_acts_without_items_or_permission(self, operator: Client):
        row = group(1)
        assert "/act/redrive/" not in text(operator, f"{LIST}{row.pk}/change/")
        failing(1)
        page = text(client_of("observer"), f"{LIST}{row.pk}/change/")
        assert "/act/" not in page
        assert "/resolve/" not in page

    @pytest.mark.parametrize("pk", ["0", "999999", "9" * 30])
    def test_what_is_not_there_is_404(self, operator: Client, pk: str):
        assert operator.get(f"{LIST}{pk}/change/").status_code == 404
        assert operator.get(f"{LIST}{pk}/resolve/").status_code == 404


class TestVerdicts:
    @pytest.mark.parametrize(("verdict", "before"), [(v.name, s) for v in groups.VERDICTS.values() for s in v.since])
    def test_each_is_said_with_a_reason_and_recorded(self, operator: Client, verdict: str, before: str):
        row = group(1, state=before)
        form = {"reason": "incident 42", "hours": "24"}
        response = operator.post(f"{LIST}{row.pk}/{verdict}/", form, follow=True)
        said = groups.VERDICTS[verdict]
        assert f"The group is {said.done}." in response.content.decode()
        row.refresh_from_db()
        entry = LedgerEntry.objects.get()
        assert (row.state, row.note) == (said.state, "incident 42")
        assert (row.ignored_until is not None) == (verdict == "ignore")
        assert (str(row.owner) == "operator") == (verdict == "acknowledge")
        assert (entry.act, entry.queue, entry.reason) == (verdict, "email", "incident 42")
        assert row.fingerprint in entry.plan
        assert (entry.result["before"], entry.result["after"]) == (before, said.state)

    def test_said_twice_it_is_said_once(self, operator: Client):
        row = group(1)
        for _ in range(2):
            response = operator.post(f"{LIST}{row.pk}/resolve/", {"reason": "x"}, follow=True)
        assert "Nothing was done" in response.content.decode()
        assert LedgerEntry.objects.count() == 1

    def test_a_reason_is_asked_for(self, operator: Client):
        row = group(1)
        assert operator.post(f"{LIST}{row.pk}/resolve/", {"reason": " "}).status_code == 400
        with pytest.raises(ReasonMissing):
            groups.say(group_id=row.pk, verdict="resolve", actor=Actor.shell(), reason=" ", now=timezone.now())
        row.refresh_from_db()
        assert row.state == "open"

    def test_not_without_permission(self):
        row = group(1)
        assert client_of("observer").post(f"{LIST}{row.pk}/resolve/", {"reason": "x"}).status_code == 403
        watcher = Actor.of(person("customer"))
        with pytest.raises(PermissionDenied):
            groups.say(group_id=row.pk, verdict="resolve", actor=watcher, reason="x", now=timezone.now())
        assert [entry.act for entry in LedgerEntry.objects.all()] == ["refused resolve"], "the page's attempt"

    def test_an_unknown_verdict_is_404(self, operator: Client):
        row = group(1)
        assert operator.get(f"{LIST}{row.pk}/delete/").status_code == 404
