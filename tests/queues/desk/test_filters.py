"""The filter language: what it says, where it is wrong, and that pages and commands mean the same by it."""

from __future__ import annotations

import re
import string
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from queues.desk import acts, email_admin, filters, grammar, plans
from queues.desk.grammar import Mistake, Word
from queues.desk.selection import Selection
from queues.email.models import EmailMessage
from queues.engine.states import Status
from tests.queues.desk.people import client_of, mail

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIST = "/admin/queues/emailmessage/"
EMAIL = email_admin.FACE.fields

names = st.text(string.ascii_lowercase + "_", min_size=1, max_size=12).filter(lambda name: name.strip())
texts = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=' "\\*:<>'), min_size=1, max_size=30)
fielded = st.builds(
    Word, field=names, operator=st.sampled_from(":<>"), text=texts, before=st.booleans(), behind=st.booleans()
)
words = st.lists(st.one_of(fielded, st.builds(Word, text=texts)), max_size=6)


@given(words)
def test_what_is_written_is_read_back(given_words: list[Word]):
    assert grammar.read(grammar.write(given_words)) == given_words


@given(st.text(max_size=80))
def test_any_text_is_understood_or_a_mistake_with_its_place(text: str):
    try:
        found = filters.parse(text, now=NOW, also=EMAIL)
    except Mistake as mistake:
        found, at = None, mistake.at
    else:
        at = 1
    assert found is None or filters.parse(str(found), now=NOW, also=EMAIL) == found
    assert 1 <= at <= max(len(text), 1)


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("status:dead_letter recipient:a@x", 20, "There is no field 'recipient'"),
        ("https://example.com", 1, "There is no field 'https'"),
        ("error:timeout status:gone", 15, "the states are waiting, pending"),
        ("status:dead*", 1, "status takes no *"),
        ("age:1h", 1, "age is asked like this: age>1h"),
        ("age>soon", 1, "a length is a number and one of s, m, min"),
        ("age>5000000h", 1, "longer than a hundred years"),
        ("age>999999999w", 1, "longer than a hundred years"),
        ("tries>many", 1, "a number from 0 to 32767"),
        ("fingerprint:x", 1, "16 hexadecimal digits"),
        ("id:99999999999999999999", 1, "a number from 0 to"),
        ("error:a error:b", 9, "stands there twice"),
        ("error:", 1, "needs a value"),
        ("error:*", 1, "needs a value"),
        ("error:a*b", 8, "A * stands at the beginning or the end"),
        ('a "b', 3, "never closed"),
        ("a\\", 2, "a character behind it"),
        ("a\x00b", 2, "no item holds"),
        ("to:nobody", 1, "no @ in the address"),
        ("x" * 401, 401, "400 characters at most"),
    ],
)
def test_a_mistake_has_its_place(text: str, at: int, words: str):
    with pytest.raises(Mistake, match=re.escape(words)) as caught:
        filters.parse(text, now=NOW, also=EMAIL)
    assert caught.value.at == at


def found(text: str, **more: Any) -> list[int]:
    rows = Selection(search=text, **more).apply(EmailMessage.objects.all(), now=NOW)
    return list(rows.order_by("pk").values_list("pk", flat=True))


@pytest.mark.django_db
class TestRows:
    def test_each_field_names_its_rows(self):
        hour = timedelta(hours=1)
        old = mail(now=NOW - 2 * hour, created_at=NOW - 3 * hour, last_code="timeout", kind="charge.failed")
        new = mail(now=NOW, created_at=NOW, last_code="smtp 451", recipient="bert@other.example", template="a/b")
        waits = mail(Status.RETRYING, created_at=NOW, priority=1, attempts=3)
        unsure = mail(Status.PENDING, created_at=NOW - hour, uncertain_at=NOW, idempotency_key="order:17")
        for text, items in [
            ("status:dead_letter", [old, new]),
            ("status:waiting", [waits, unsure]),
            ("error:timeout", [old]),
            ('error:"smtp 4"*', [new]),
            ("error:*51 status:dead_letter", [new]),
            ("error:*tp* ", [new]),
            ("type:charge.*", [old]),
            ("type:charge", []),
            ("age>90m", [old]),
            ("age<90m age>30m", [unsure]),
            ("dead<1h", [new]),
            ("dead>1h", [old]),
            ("tries>3", [old, new]),
            ("tries:3", [waits]),
            ("priority:high", [waits]),
            ("is:uncertain", [unsure]),
            ("to:*@other.example", [new]),
            ("to:BERT@other.example", [new]),
            ("to:bert@OTHER.example", [new]),
            ("template:a/*", [new]),
            ("key:order:17", [unsure]),
            ('"order:17"', [unsure]),
            (f"id:{old.pk}", [old]),
            (f"status:dead_letter {new.recipient}", [new]),
            (f"{old.recipient} error:timeout age>1h", [old]),
            ("   ", []),
            ('""', []),
            ('"%" error:%', []),
        ]:
            assert found(text) == [item.pk for item in items], text

    def test_it_and_the_other_filters_hold_together(self):
        mail(last_code="timeout", kind="a")
        both = mail(last_code="timeout", kind="b")
        assert found("error:timeout", kind="b") == [both.pk]
        assert found("error:timeout", status="succeeded") == []

    @pytest.mark.parametrize("text", ["fingerprint:0123456789abcdef", "key:order-17", "id:7"])
    def test_exact_fields_read_an_index(self, text: str):
        rows = Selection(search=text).apply(EmailMessage.objects.all(), now=NOW)
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET LOCAL enable_seqscan = off")
        plan = rows.explain()
        expected = "emailmessage_failing" if text.startswith("finger") else "autoindex|one_row_a_key|pkey|PRIMARY KEY"
        assert re.search(expected, plan), plan


@pytest.fixture
def operator(db: None) -> Client:
    return client_of("operator")


def shown(page: str) -> list[int]:
    return [int(pk) for pk in re.findall(r'class="desk-tick" name="id" value="(\d+)"', page)]


class TestPages:
    def test_a_typed_state_is_the_tab_and_the_order(self, operator: Client):
        first = mail(dead_at=timezone.now(), last_code="timeout")
        second = mail(dead_at=timezone.now() - timedelta(hours=1), last_code="timeout")
        mail(Status.SUCCEEDED, last_code="timeout")
        page = operator.get(LIST, {"q": "error:timeout status:dead_letter"}).content.decode()
        assert shown(page) == [first.pk, second.pk], "by death, as the tab's list is"
        assert re.search(
            r'href="\?status=dead_letter&amp;q=error%3Atimeout|href="\?q=error%3Atimeout&amp;status=dead_l', page
        )
        assert re.search(r'aria-current="page">Dead letter<', page)

    def test_what_is_typed_wins_over_the_tab(self, operator: Client):
        mail()
        sent = mail(Status.SUCCEEDED)
        page = operator.get(LIST, {"q": "status:succeeded", "status": "dead_letter"}).content.decode()
        assert shown(page) == [sent.pk]

    def test_purged_is_a_word_too(self, operator: Client):
        mail()
        gone = mail(hidden_at=timezone.now())
        assert shown(operator.get(LIST, {"q": "is:purged"}).content.decode()) == [gone.pk]
        assert shown(operator.get(LIST, {"q": "is:purged status:dead_letter"}).content.decode()) == [gone.pk]

    def test_a_mistake_is_shown_at_its_place_and_nothing_listed(self, operator: Client):
        mail()
        response = operator.get(LIST, {"q": "error:x colour:<b>red"})
        page = response.content.decode()
        assert response.status_code == 400
        assert "There is no field &#x27;colour&#x27;" in page
        assert "<code>error:x <mark>colour:&lt;b&gt;red</mark></code>" in page
        assert shown(page) == []

    def test_no_act_on_a_filter_with_a_mistake(self, operator: Client):
        mail()
        response = operator.get(f"{LIST}act/redrive/", {"q": "colour:red"})
        assert response["Location"] == f"{LIST}?q=colour%3Ared"

    def test_an_act_takes_what_the_list_showed(self, operator: Client):
        dead = mail(last_code="timeout")
        mail(last_code="smtp 550")
        page = operator.get(f"{LIST}act/redrive/", {"q": "status:dead_letter error:timeout"}).content.decode()
        assert '<span class="desk-number">1</span> will be redriven' in page
        assert dead.recipient in page

    def test_every_page_of_a_filtered_list_keeps_the_filter(self, operator: Client, monkeypatch: Any):
        monkeypatch.setattr(email_admin.EmailMessageAdmin, "list_per_page", 2)
        wanted = [mail(last_code="timeout", dead_at=NOW - timedelta(minutes=n)).pk for n in range(5)]
        mail(last_code="other")
        seen: list[int] = []
        address = f"{LIST}?q=status:dead_letter+error:timeout"
        while address:
            page = operator.get(address).content.decode()
            seen += shown(page)
            older = re.search(r'rel="next" href="([^"]+)"', page)
            address = LIST + older[1].replace("&amp;", "&") if older else ""
        assert seen == wanted


@pytest.mark.django_db
class TestCommands:
    def test_they_take_the_same_filter(self):
        dead = mail(last_code="timeout")
        mail(last_code="smtp 550")
        out = StringIO()
        call_command("redrive", "email", filter="error:timeout", reason="repaired", stdout=out)
        assert "Redriven: 1." in out.getvalue()
        dead.refresh_from_db()
        assert dead.status == Status.PENDING

    def test_a_mistake_is_pointed_at(self):
        with pytest.raises(CommandError, match=r"\n  a colour:red\n    \^$"):
            call_command("redrive", "email", "--filter", "a colour:red", "--reason", "x")

    def test_a_plan_means_the_same_rows(self):
        now = timezone.now()
        items = [mail(last_code=code) for code in ("timeout", "timeout", "smtp 550")]
        plan = plans.make(act=acts.get("redrive"), queue="email", selection=Selection(search="error:timeout"), now=now)
        assert set(plan.versions) == {items[0].pk, items[1].pk}
