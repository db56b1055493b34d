"""What items carry: hidden until who may asks for it, by a POST that is recorded; payloads are masked till then."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from queues.desk import json_tree, masking
from queues.desk.ledger import LedgerEntry
from queues.webhooks.models import WebhookEvent
from tests.queues.desk.api_caller import Program, problem
from tests.queues.desk.people import client_of, mail

pytestmark = pytest.mark.django_db

MAILS, EVENTS = "/admin/queues/emailmessage/", "/admin/queues/webhookevent/"
SECRET = "sentinel-7f3a"
CHARGE = {
    "id": "evt_1AbC",
    "object": "event",
    "type": "charge.succeeded",
    "created": 1_700_000_000,
    "livemode": True,
    "data": {
        "object": {
            "id": "ch_1AbC",
            "amount": 4200,
            "currency": "eur",
            "status": "succeeded",
            "customer": "cus_9XyZ",
            "billing_details": {
                "name": "Anna Doe",
                "phone": "0151",
                "address": {"postal_code": 10115, "country": "DE"},
            },
            "receipt_email": "anna@example.com",
            "description": "For Anna",
            "metadata": {"note": "call Anna"},
            "client_secret": "pi_3AbC_secret_9ZyX",
            "payment_method_details": {"card": {"brand": "visa", "last4": "4242"}},
        }
    },
}
PERSONAL = ("Anna", "anna@example.com", "0151", "10115", "4242", "secret_9ZyX")


def secret_mail() -> Any:
    said = {"text": SECRET, "html": f"<p>{SECRET}</p>", "context": {"name": SECRET}, "template": "x"}
    return mail(**said, headers=[["X-Note", SECRET]], metadata={"note": SECRET})


def event(**fields: Any) -> WebhookEvent:
    basics = {"idempotency_key": "stripe:evt_1AbC", "event_id": "evt_1AbC", "kind": "charge.succeeded"}
    payload = json.dumps(CHARGE).encode()
    return WebhookEvent.objects.create(**(basics | {"payload": payload, "occurred_at": timezone.now()} | fields))


def page(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, (address, response.status_code)
    return response.content.decode()


class TestMail:
    def test_nothing_of_it_is_on_any_page_until_it_was_asked_for(self):
        item = secret_mail()
        for who in ("observer", "operator", "administrator"):
            client = client_of(who)
            for address in (MAILS, f"{MAILS}{item.pk}/change/", f"{MAILS}act/purge/?id={item.pk}", "/admin/"):
                if client.get(address).status_code == 200:
                    assert SECRET not in page(client, address), (who, address)
            assert client.get(f"{MAILS}{item.pk}/preview/").status_code == 403
        assert SECRET not in page(client_of("operator"), f"{MAILS}{item.pk}/edit/")

    def test_asking_is_a_post_that_is_recorded_and_shows_it(self):
        item, client = secret_mail(), client_of("operator")
        assert client.get(f"{MAILS}{item.pk}/unmask/").status_code == 200
        assert not LedgerEntry.objects.exists(), "a GET only shows the page"
        where = client.post(f"{MAILS}{item.pk}/unmask/")["Location"].removesuffix("#contents")
        entry = LedgerEntry.objects.get()
        assert (entry.act, entry.items, entry.actor_name) == ("view payload", [item.pk], "operator")
        shown = page(client, where)
        assert shown.count(SECRET) >= 3
        preview = re.search(r'<iframe[^>]* src="([^"]+)"', shown)
        assert preview is not None
        assert SECRET in page(client, preview[1].replace("&amp;", "&"))
        assert "Contents looked at by operator" in shown, "it stands in the item's history"

    def test_it_holds_for_this_person_this_item_and_a_quarter_of_an_hour(self):
        item, other, client = secret_mail(), secret_mail(), client_of("operator")
        where = client.post(f"{MAILS}{item.pk}/unmask/")["Location"].removesuffix("#contents")
        token = where.partition("?")[2]
        assert SECRET not in page(client, f"{MAILS}{other.pk}/change/?{token}")
        assert SECRET not in page(client_of("administrator"), where)
        with time_machine.travel(timezone.now() + timedelta(minutes=16)):
            assert SECRET not in page(client, where)

    def test_who_may_not_is_refused_and_that_is_recorded(self):
        item, client = secret_mail(), client_of("observer")
        assert "may not see contents" in page(client, f"{MAILS}{item.pk}/change/")
        assert client.post(f"{MAILS}{item.pk}/unmask/").status_code == 403
        entry = LedgerEntry.objects.get()
        assert (entry.act, entry.items) == ("refused view payload", [item.pk])


class TestPayload:
    def test_it_is_a_folded_tree_with_people_masked(self):
        item = event()
        shown = page(client_of("observer"), f"{EVENTS}{item.pk}/change/")
        tree = shown.partition('<div class="json">')[2].partition("</section>")[0]
        for word in PERSONAL:
            assert word not in tree, word
        for word in ("ch_1AbC", "cus_9XyZ", "4200", "succeeded", "eur", "visa", "1700000000"):
            assert word in tree, word
        assert tree.count("<details") >= 6
        assert 'class="json-branch" open' in tree
        assert tree.count("json-masked") >= 8

    def test_who_asked_sees_all_of_it(self):
        item, client = event(), client_of("operator")
        shown = page(client, client.post(f"{EVENTS}{item.pk}/unmask/")["Location"].removesuffix("#contents"))
        for word in ("Anna Doe", "anna@example.com", "10115", "4242"):
            assert word in shown, word

    @pytest.mark.parametrize("payload", [b"no json <b>Anna</b>", b'{"a": ' * 2000, b"\xff\xfeAnna", b'"Anna"', b"[]"])
    def test_what_cannot_be_masked_is_not_shown(self, payload: bytes):
        item = event(payload=payload)
        shown = page(client_of("observer"), f"{EVENTS}{item.pk}/change/")
        assert "Anna" not in shown.partition('id="contents"')[2].partition("</section>")[0]

    def test_hostile_payloads_are_text(self):
        evil = '"><script>alert(1)</script>'
        item, client = event(payload=json.dumps({evil: [evil, {evil: evil}]}).encode()), client_of("operator")
        for address in (
            f"{EVENTS}{item.pk}/change/",
            client.post(f"{EVENTS}{item.pk}/unmask/")["Location"].removesuffix("#contents"),
        ):
            assert "<script>alert" not in page(client, address)

    def test_a_payload_without_end_is_cut(self):
        drawn = json_tree.draw({"a": list(range(100_000))})
        assert len(drawn) < 500_000


@pytest.mark.parametrize(
    ("value", "harmless"),
    [
        ({"id": "ch_1AbC"}, True),
        ({"customer": "cus_1AbC"}, True),
        ({"status": "succeeded"}, True),
        ({"created_at": "2026-03-01T12:00:00Z"}, True),
        ({"status": "Anna Doe <anna@example.com>"}, False),
        ({"key": "sk_live_1234567890"}, False),
        ({"secret": "whsec_1234567890"}, False),
        ({"client_secret": "pi_3AbC_secret_9ZyX"}, False),
        ({"username": "anna_smith"}, False),
        ({"address": {"line1": 12}}, False),
        ({"shipping": {"status": "ch_1AbC"}}, False),
        ({"unknown": "word"}, False),
    ],
)
def test_what_is_not_known_to_be_harmless_is_masked(value: dict[str, Any], harmless: bool):
    assert (masking.masked(value) == value) == harmless


class TestApi:
    def test_the_payload_is_asked_for_with_a_reason(self):
        item = secret_mail()
        program = Program("view_emailmessage", "view_payload_emailmessage")
        base = f"/api/v1/queues/email/items/{item.pk}/"
        assert SECRET not in program.get(base).content.decode()
        assert program.post(f"{base}payload/", {}).status_code == 400
        answer = program.post(f"{base}payload/", {"reason": "customer called"}).json()
        assert answer["contents"]["text"] == SECRET
        entry = LedgerEntry.objects.get()
        assert (entry.act, entry.reason, entry.items) == ("view payload", "customer called", [item.pk])
        refused = Program("view_emailmessage").post(f"{base}payload/", {"reason": "x"})
        assert problem(refused)["code"] == "permission_denied"
        assert LedgerEntry.objects.filter(act="refused view payload").exists()
