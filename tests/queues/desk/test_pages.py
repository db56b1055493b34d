"""The desk's pages: what they show, what they refuse to believe, and that none of them asks the database too much."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import escape

from queues.desk import bounded, operations
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor
from queues.desk.selection import Selection
from queues.email.models import Attachment, AttachmentUse, EmailMessage, TrackingEvent
from queues.engine.attempts import Attempt
from queues.engine.states import Status
from tests.queues.desk.people import client_of, mail

pytestmark = pytest.mark.django_db

LIST = "/admin/queues/emailmessage/"
EVIL = """"><script>alert('x')</script><img src=x onerror=alert(1)>{{ 7|add:7 }}{% now 'Y' %}"""

HOSTILE = [
    *("q=%00", f"q={'x' * 10_000}", "q=%25", "q=%27%22%3B--", "q=%ED%A0%80", "q=💥", "q=%0A"),
    *("after=x", f"after={'9' * 40}", "after=99999999999999999.1&status=dead_letter", "before=%00", "before=-1"),
    *("id=" + "9" * 30, "id=%00", "kind=%00", "code=%00", "kind=%ED%A0%80", f"code={'x' * 5000}", "status=%00"),
    *("p=99", "p=x", "o=1.2.3", "all=1", "_facets=1", "_to_field=id", "e=1", "purged=2"),
]


@pytest.fixture
def operator() -> Client:
    return client_of("operator")


def text(response: HttpResponse) -> str:
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def unmasked(client: Client, pk: int) -> str:
    """The query string by which this person sees what the item carries."""
    where = client.post(f"{LIST}{pk}/unmask/")["Location"]
    return str(where).partition("?")[2].removesuffix("#contents")


def shown(page: str) -> list[int]:
    """The ids of the rows of a list, in order."""
    return [int(pk) for pk in re.findall(r'class="desk-tick" name="id" value="(\d+)"', page)]


class TestList:
    def test_each_state_is_a_word_and_a_shape(self, operator: Client):
        for status in Status.values:
            mail(status)
        page = text(operator.get(LIST))
        for status, word in [("succeeded", "Sent"), ("dead_letter", "Dead letter"), ("processing", "Processing")]:
            assert re.search(rf'class="badge badge-{status}"><svg viewBox[^>]*>.+?</svg>{word}<', page)

    def test_tabs_and_filters_choose(self, operator: Client):
        dead, sent = mail(last_code="smtp 550", kind="newsletter"), mail(Status.SUCCEEDED)
        waiting = [mail(Status.PENDING), mail(Status.RETRYING)]
        purged = mail(hidden_at=timezone.now())
        assert shown(text(operator.get(LIST))) == [*(item.pk for item in reversed(waiting)), sent.pk, dead.pk]
        for query, items in [
            ("status=dead_letter", [dead]),
            ("status=waiting", waiting[::-1]),
            ("code=smtp+550", [dead]),
            ("kind=newsletter&status=dead_letter", [dead]),
            ("purged=1", [purged]),
            ("status=nonsense", []),
            (f"q={sent.recipient}", [sent]),
            (f"id={dead.pk}&id={sent.pk}", [sent, dead]),
        ]:
            assert shown(text(operator.get(f"{LIST}?{query}"))) == [item.pk for item in items], query

    def test_pages_go_older_and_newer_over_everything_once(self, operator: Client, monkeypatch):
        from queues.desk.email_admin import EmailMessageAdmin

        monkeypatch.setattr(EmailMessageAdmin, "list_per_page", 3)
        now = timezone.now()
        dead = [mail(dead_at=now - timedelta(minutes=n % 3)) for n in range(8)]
        by_death = [item.pk for item in sorted(dead, key=lambda item: (item.dead_at, item.pk), reverse=True)]
        for query, expected in [("", [item.pk for item in reversed(dead)]), ("status=dead_letter", by_death)]:
            seen, address, back = [], f"{LIST}?{query}", ""
            while address:
                page = text(operator.get(address))
                seen += shown(page)
                older = re.search(r'rel="next" href="([^"]+)"', page)
                newer = re.search(r'rel="prev" href="([^"]+)"', page)
                address = LIST + older[1].replace("&amp;", "&") if older else ""
                back = LIST + newer[1].replace("&amp;", "&") if newer else back
            assert seen == expected
            assert shown(text(operator.get(back))) == expected[3:6]

    @pytest.mark.parametrize("query", HOSTILE)
    def test_hostile_addresses_do_no_harm(self, operator: Client, query: str):
        mail()
        response = operator.get(f"{LIST}?{query}")
        assert response.status_code in (200, 302, 400)
        if response.status_code == 302:
            assert response["Location"].endswith("?e=1")

    def test_a_filter_that_there_is_not_is_refused_instead_of_ignored(self, operator: Client):
        assert operator.get(f"{LIST}?recipient__startswith=a").status_code == 302

    def test_an_empty_list_says_what_it_means(self, operator: Client):
        assert "There are no e-mails" in text(operator.get(LIST))
        assert "Nothing matches" in text(operator.get(f"{LIST}?q=nobody@example.com"))

    def test_a_post_is_not_understood(self, operator: Client):
        form = {"action": "delete_selected", "_selected_action": mail().pk, "index": "0"}
        assert operator.post(LIST, form).status_code == 405

    def test_the_number_is_capped(self, operator: Client, monkeypatch):
        monkeypatch.setattr(bounded, "CAP", 2)
        monkeypatch.setattr(bounded.count, "__kwdefaults__", {"cap": 2, "milliseconds": 1500, "or_estimate": False})
        for _ in range(4):
            mail()
        assert "<strong>2+</strong>" in text(operator.get(LIST))

    def test_a_question_that_takes_too_long_is_given_up(self, operator: Client, monkeypatch):
        def give_up(*_args: Any, **_kwargs: Any) -> Any:
            raise bounded.TookTooLong

        mail()
        monkeypatch.setattr(bounded, "budget", give_up)
        assert "Narrow it down" in text(operator.get(LIST))


class TestCost:
    """No COUNT over a whole table, no DISTINCT, no OFFSET; rare things come from their own indexes."""

    def statements(self, client: Client, address: str) -> list[str]:
        client.get(address)  # what is cached once a process
        with CaptureQueriesContext(connection) as queries:
            text(client.get(address))
        return [query["sql"] for query in queries if "emailmessage" in query["sql"]]

    @pytest.mark.parametrize("query", ["", "?status=dead_letter", "?status=waiting&code=timeout", "?q=a@example.com"])
    def test_the_list_asks_only_bounded_questions(self, operator: Client, query: str):
        for _ in range(3):
            mail(recipient="a@example.com", last_code="timeout"), mail(Status.RETRYING, last_code="timeout")
        statements = self.statements(operator, LIST + query)
        assert 2 <= len(statements) <= 4, "as many for three rows as for none"
        for sql in statements:
            assert "LIMIT" in sql, sql
            assert "DISTINCT" not in sql
            assert "OFFSET" not in sql
            assert '"html"' not in sql, "a list has no use for bodies"

    def test_the_start_page_asks_only_bounded_questions(self, operator: Client):
        statements = self.statements(operator, "/admin/")
        assert len(statements) <= 10
        assert [sql for sql in statements if "LIMIT" not in sql] == []

    @pytest.mark.parametrize(
        ("selection", "index"),
        [
            (Selection(search="a@example.com"), "emailmessage_recipient"),
            (Selection(search="a@example.com"), "emailmessage_message_id"),
            (Selection(search="a@example.com"), "emailmessage_provider_id"),
            (Selection(search="order-17"), "idempotency_key|one_row_a_key"),
            (Selection(search="order-17"), "emailmessage_provider_id"),
        ],
    )
    def test_a_search_reads_indexes(self, selection: Selection, index: str):
        rows = selection.apply(EmailMessage.objects.all())
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET LOCAL enable_seqscan = off")
        plan = rows.explain()
        if connection.vendor == "sqlite" and not re.search(index, plan):
            index = "sqlite_autoindex_queues_emailmessage"  # the unique key's index has SQLite's own name
        assert re.search(index, plan), plan
        assert "SCAN queues_emailmessage\n" not in plan + "\n"


class TestItem:
    def test_everything_about_it_is_on_one_page(self, operator: Client):
        now = timezone.now()
        item = mail(created_at=now - timedelta(days=1), to=["Anna <anna@example.com>"], bcc=["b@example.com"])
        for number, outcome in [(1, "retry"), (2, "lost"), (3, "dead_letter")]:
            started_at = None if outcome == "lost" else now - timedelta(minutes=10 - number)
            Attempt.objects.create(
                queue="email", item_id=item.pk, number=number, outcome=outcome, code="smtp 451", started_at=started_at
            )
        TrackingEvent.objects.create(
            message=item, provider="esp", event_key="1", kind="bounced", at=now, words="no user"
        )
        operations.act_on(
            act="redrive",
            queue="email",
            selection=Selection(ids=(item.pk,)),
            actor=Actor.shell(),
            reason="server repaired",
            now=now,
        )
        page = text(operator.get(f"{LIST}{item.pk}/change/"))
        for words in ["Anna <anna@example.com>", "b@example.com", item.message_id, "no user", "server repaired"]:
            assert escape(words) in page
        order = ["Redriven by", "Bounced (reported", "Run 3 failed for good", "Run 2 lost", "Run 1 failed", "Created"]
        places = [page.rindex(words) for words in order]
        # The redrive and the report happened in the same instant; everything else has its place in time.
        assert sorted(places[:2]) + places[2:] == sorted(places)

    @pytest.mark.parametrize("pk", ["0", "999999", "9" * 19, "9" * 30])
    def test_what_is_not_there_is_404(self, operator: Client, pk: str):
        assert operator.get(f"{LIST}{pk}/change/").status_code == 404
        assert operator.get(f"{LIST}{pk}/preview/").status_code == 404

    def test_hostile_contents_are_text(self, operator: Client):
        item = mail(
            subject=EVIL,
            text=EVIL,
            html=f"<p>{EVIL}</p>",
            last_words=EVIL,
            last_code=EVIL[:100],
            kind=EVIL[:100],
            to=[EVIL],
            headers=[["X-Evil", EVIL]],
            metadata={EVIL: EVIL},
            tags=[EVIL],
            recipient=EVIL[:320],
            idempotency_key=EVIL,
            provider=EVIL,
            refused={EVIL: EVIL},
        )
        Attempt.objects.create(queue="email", item_id=item.pk, number=1, outcome=EVIL[:12], words=EVIL, code=EVIL[:100])
        seen = f"{LIST}{item.pk}/change/?{unmasked(operator, item.pk)}"
        addresses = [f"{LIST}{item.pk}/change/", seen, LIST, f"{LIST}?status=dead_letter", f"{LIST}?kind={EVIL[:100]}"]
        for address in [*addresses, f"{LIST}act/redrive/?id={item.pk}", "/admin/"]:
            page = text(operator.get(address))
            assert "<script>alert" not in page
            assert "onerror=alert(1)>" not in page
            assert "{{ 7|add:7 }}" in page or "alert(" not in page, "it was taken for a template"

    def test_a_mail_without_text_any_more_says_so(self, operator: Client):
        item = mail(Status.SUCCEEDED, text="", bodies_removed_at=timezone.now())
        page = text(operator.get(f"{LIST}{item.pk}/change/"))
        assert "The text was removed after its time" in page
        assert "/act/replay/" not in page
        assert "/act/purge/" in page


class TestPreview:
    def preview(self, client: Client, html: str, **fields: Any) -> HttpResponse:
        self.item = mail(html=html, **fields)
        self.seen = unmasked(client, self.item.pk)
        response = client.get(f"{LIST}{self.item.pk}/preview/?{self.seen}")
        assert response.status_code == 200
        return response

    def test_its_policy_lets_it_do_nothing(self, operator: Client):
        response = self.preview(operator, "<p>hello</p>")
        policy = dict(part.partition(" ")[::2] for part in response["Content-Security-Policy"].split("; "))
        assert policy == {
            "sandbox": "",
            "default-src": "'none'",
            "style-src": "'unsafe-inline'",
            "img-src": "data:",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'self'",
        }
        assert response["X-DNS-Prefetch-Control"] == "off"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert "no-store" in response["Cache-Control"]

    def test_the_frame_is_sandboxed(self, operator: Client):
        self.preview(operator, "<p>hello</p>")
        page = text(operator.get(f"{LIST}{self.item.pk}/change/?{self.seen}"))
        (frame,) = re.findall(r"<iframe[^>]*>", page)
        assert 'sandbox=""' in frame
        assert f'src="{LIST}{self.item.pk}/preview/?seen=' in frame

    def test_what_no_policy_holds_back_is_taken_apart(self, operator: Client):
        html = '<LINK rel=preconnect href="//e"><base href=//e><meta http-equiv=refresh content="0;//e"><b>linked</b>'
        page = text(self.preview(operator, html)).removeprefix("<!doctype html><meta charset=utf-8>")
        assert re.search(r"<(link|base|meta)\b", page, re.IGNORECASE) is None
        assert "<b>linked</b>" in page

    def test_inline_images_come_with_it(self, operator: Client):
        html = '<img src="cid:logo"><img src="CID:missing"><img src="cid:drawing"><img src="https://e.example/p.gif">'
        item = mail(html=html)
        for position, (content_id, kind) in enumerate([("logo", "image/png"), ("drawing", "image/svg+xml")]):
            stored = Attachment.objects.create(sha256=content_id, content=b"\x89PNG", size=4)
            AttachmentUse.objects.create(
                message=item, attachment=stored, position=position, name="x", content_type=kind, content_id=content_id
            )
        page = text(operator.get(f"{LIST}{item.pk}/preview/?{unmasked(operator, item.pk)}"))
        assert '<img src="data:image/png;base64,iVBORw==">' in page
        assert "svg" not in page
        assert "cid:" not in page.lower()

    def test_a_huge_mail_is_cut(self, operator: Client):
        assert len(self.preview(operator, "x" * 3_000_000).content) < 1_100_000


class TestActPage:
    def sealed(self, page: str) -> str:
        return re.findall(r'name="plan" value="([^"]+)"', page)[0]

    def test_it_says_what_will_be_touched_and_what_not(self, operator: Client):
        dead, sent = mail(), mail(Status.SUCCEEDED)
        page = text(operator.get(f"{LIST}act/redrive/?id={dead.pk}&id={sent.pk}&id=999"))
        assert '<span class="desk-number">1</span> will be redriven' in page
        assert "<strong>1</strong> succeeded already" in page
        assert "<strong>1</strong> not there" in page
        assert dead.recipient in page
        assert "Redrive 1</button>" in page

    def test_nothing_to_do_has_no_button(self, operator: Client):
        page = text(operator.get(f"{LIST}act/redrive/?id={mail(Status.SUCCEEDED).pk}"))
        assert "Nothing to redrive" in page
        assert 'name="plan"' not in page

    def test_a_reason_is_asked_for_and_the_preview_kept(self, operator: Client):
        item = mail()
        address = f"{LIST}act/redrive/?id={item.pk}"
        sealed = self.sealed(text(operator.get(address)))
        response = operator.post(address, {"plan": sealed, "reason": " "})
        assert response.status_code == 400
        assert "Say why" in response.content.decode()
        assert self.sealed(response.content.decode()) == sealed
        item.refresh_from_db()
        assert item.status == Status.DEAD_LETTER

    def test_submitted_twice_it_happens_once(self, operator: Client):
        item = mail()
        address = f"{LIST}act/redrive/?id={item.pk}"
        form = {"plan": self.sealed(text(operator.get(address))), "reason": "server repaired"}
        first = operator.post(address, form, follow=True)
        assert first.redirect_chain == [(f"{LIST}{item.pk}/change/", 302)]
        entry = LedgerEntry.objects.get()
        assert f"1 e-mail redriven. (Ledger entry {entry.pk}.)" in text(first)
        assert "Nothing was redriven. Left alone: 1 changed since the preview." in text(
            operator.post(address, form, follow=True)
        )
        item.refresh_from_db()
        assert (item.status, item.version) == (Status.PENDING, 1)

    def test_all_that_match_a_filter_and_back_to_it(self, operator: Client):
        for code in ("timeout", "timeout", "smtp 550"):
            mail(last_code=code)
        listed = text(operator.get(f"{LIST}?status=dead_letter&code=timeout"))
        assert f'href="{LIST}act/redrive/?status=dead_letter&amp;code=timeout"' in listed
        address = f"{LIST}act/redrive/?status=dead_letter&code=timeout"
        form = {"plan": self.sealed(text(operator.get(address))), "reason": "server repaired"}
        response = operator.post(address, form)
        assert response["Location"] == f"{LIST}?status=dead_letter&code=timeout"
        assert EmailMessage.objects.filter(status=Status.PENDING).count() == 2
        assert LedgerEntry.objects.get().plan == "all with state 'dead_letter', cause 'timeout'"

    @pytest.mark.parametrize("plan", ["", "x", "💥", json.dumps({"act": "redrive"})])
    def test_a_made_up_plan_does_nothing(self, operator: Client, plan: str):
        item = mail()
        response = operator.post(f"{LIST}act/redrive/?id={item.pk}", {"plan": plan, "reason": "x"}, follow=True)
        assert "the preview was too old" in text(response)
        assert not LedgerEntry.objects.exists()

    def test_a_plan_of_somebody_else_does_nothing(self, operator: Client):
        item = mail()
        address = f"{LIST}act/redrive/?id={item.pk}"
        sealed = self.sealed(text(client_of("administrator").get(address)))
        operator.post(address, {"plan": sealed, "reason": "x"})
        item.refresh_from_db()
        assert item.status == Status.DEAD_LETTER

    @pytest.mark.parametrize("query", ["id=x", "id=", "id=0", "chosen=1&status=dead_letter", "id=-5&code=x"])
    def test_who_meant_some_and_named_none_gets_none(self, operator: Client, query: str):
        mail()
        page = text(operator.get(f"{LIST}act/redrive/?{query}"))
        assert "Nothing to redrive" in page

    def test_there_is_no_act_on_everything(self, operator: Client):
        mail()
        page = text(operator.get(f"{LIST}act/purge/", follow=True))
        assert "Choose items or a filter first" in page

    def test_what_may_have_arrived_is_said(self, operator: Client):
        items = [mail(uncertain_at=timezone.now()), mail()]
        query = "&".join(f"id={item.pk}" for item in items)
        assert "1 of them may have arrived" in text(operator.get(f"{LIST}act/redrive/?{query}"))
        assert "may have arrived" not in text(operator.get(f"{LIST}act/discard/?{query}"))

    def test_an_unknown_act_is_404(self, operator: Client):
        assert operator.get(f"{LIST}act/delete/").status_code == 404
        assert operator.put(f"{LIST}act/redrive/").status_code == 405


def test_the_policy_of_the_desk_has_no_inline_scripts_and_our_pages_none(operator: Client):
    item = mail(html="<p>x</p>")
    for address in ("/admin/", LIST, f"{LIST}{item.pk}/change/", f"{LIST}act/redrive/?id={item.pk}"):
        response = operator.get(address)
        scripts = re.search(r"script-src ([^;]*)", response["Content-Security-Policy"])
        assert scripts is not None
        assert "unsafe-inline" not in scripts[1]
        inline = re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>", text(response))
        assert inline == []
