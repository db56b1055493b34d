"""Receipt: what is authentic and an event is stored once, byte for byte; everything else leaves nothing behind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import stripe
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from queues.engine import registry, transitions, wake
from queues.webhooks import counting, verification
from queues.webhooks.models import ReceiptCount, WebhookEvent
from tests.queues.webhooks.deliveries import ADDRESS, SECRET, header, post, raw, sign, snapshot, thin

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("secret")]


def rows() -> int:
    return WebhookEvent.objects.count()


def test_an_event_is_stored_as_it_came_with_its_fields_beside_it():
    event = snapshot("charge.refunded", id="evt_1", created=1_790_000_000, object="charge") | {"account": "acct_7"}
    body = json.dumps(event, indent=3).encode() + b"\n"
    response = post(body)
    assert (response.status_code, response.json()) == (200, {"received": "evt_1", "repeated": False})
    row = WebhookEvent.objects.get()
    assert bytes(row.payload) == body
    assert (row.kind, row.event_id, row.idempotency_key) == ("charge.refunded", "evt_1", "stripe:evt_1")
    assert (row.account, row.object_id, row.lane) == ("acct_7", "cus_1", "acct_7:cus_1")
    assert (row.api_version, row.livemode, row.thin, row.source) == ("2026-09-30.endive", False, False, "received")
    assert int(row.occurred_at.timestamp()) == 1_790_000_000
    assert row.status == "pending"
    assert row.signed_with == verification.label(SECRET)
    assert row.signed_at is not None
    assert abs((row.signed_at - timezone.now()).total_seconds()) < 10


def test_seen_before_is_answered_like_new_and_stored_once():
    event = snapshot(id="evt_2")
    assert post(event).json()["repeated"] is False
    assert [post(event).json()["repeated"] for _ in range(3)] == [True] * 3
    assert rows() == 1
    counting.write()
    assert ReceiptCount.objects.get(outcome="repeated").count == 3


def test_the_id_outlives_the_row():
    post(snapshot(id="evt_3"))
    row = WebhookEvent.objects.get()
    WebhookEvent.objects.update(status="succeeded", succeeded_at=timezone.now())
    queue = registry.get("webhook")
    later = timezone.now() + 2 * transitions.TOMBSTONE_FIRST
    transitions.bury(queue, items=WebhookEvent.objects.filter(pk=row.pk), now=timezone.now())
    transitions.bury(queue, items=WebhookEvent.objects.filter(pk=row.pk), now=later)
    assert rows() == 0
    assert post(snapshot(id="evt_3")).json() == {"received": "evt_3", "repeated": True}
    assert rows() == 0


def test_an_accepted_event_costs_one_statement_and_the_hint_another():
    wake._hinted.clear()
    with CaptureQueriesContext(
        connection,
    ) as first:
        post(snapshot())
    assert len(first) <= 2, [query["sql"] for query in first]
    with CaptureQueriesContext(connection) as second:
        post(snapshot())
    assert len(second) == 1, "the hint is coalesced"
    with CaptureQueriesContext(connection) as repeated:
        post(snapshot(id="evt_4"))
        post(snapshot(id="evt_4"))
    assert len([query for query in repeated if "receiptcount" not in query["sql"].lower()]) <= 3


@pytest.mark.django_db(transaction=True)
def test_the_workers_are_woken_after_the_commit(drain: Any):
    wake._hinted.clear()
    post(snapshot())
    assert OrmQ.objects.count() == 1


def test_stripe_pythons_own_signature_is_accepted():
    body = raw(snapshot())
    stamp = int(time.time())
    theirs = stripe.WebhookSignature.generate_signature_header(body.decode(), SECRET, timestamp=stamp)
    assert post(body, signature=theirs).status_code == 200


def body_signed(make: Callable[[bytes], str]) -> int:
    body = raw(snapshot())
    status: int = post(body, signature=make(body)).status_code
    return status


@pytest.mark.parametrize(
    "make",
    [
        lambda body: "",
        lambda body: "nonsense",
        lambda body: f"t={int(time.time())}",
        lambda body: f"t=,v1={sign(body)}",
        lambda body: f"t=now,v1={sign(body)}",
        lambda body: f"t={'9' * 400},v1={sign(body)}",
        lambda body: f"t={int(time.time())},v0={sign(body)}",
        lambda body: f"t={int(time.time())},v1={sign(body)[:-1]}",
        lambda body: f"t={int(time.time())},v1={sign(body).upper()}",
        lambda body: f"t={int(time.time())},v1=é",
        lambda body: f"t={int(time.time())},v1=\xff\xfe",
        lambda body: f"t={int(time.time())},v1=",
        lambda body: header(body, secret="whsec_of_somebody_else"),
        lambda body: header(body, secret=""),
        lambda body: header(body + b" "),
        lambda body: header(body) + "," + "v1=0" * 2000,
        lambda body: header(body, at=int(time.time()) - 302),
        lambda body: header(body, at=int(time.time()) + 302),
        lambda body: header(body, at=int(time.time()) - 5).replace("t=", "t=1"),
    ],
)
def test_what_is_not_authentic_leaves_no_row_and_no_error_in_the_log(
    make: Callable[[bytes], str], caplog: pytest.LogCaptureFixture
):
    assert body_signed(make) == 400
    assert rows() == 0
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


def test_a_signature_may_be_old_or_ahead_by_almost_five_minutes():
    for shift in (-290, 290):
        assert body_signed(lambda body, shift=shift: header(body, at=int(time.time()) + shift)) == 200


def test_one_right_signature_among_several_is_enough():
    assert body_signed(lambda body: f"t={int(time.time())},v1={'0' * 64},v1={sign(body)},v0=x") == 200


def test_the_older_of_two_secrets_holds_until_it_is_taken_out(settings: Settings):
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new", "whsec_old"]
    assert body_signed(lambda body: header(body, secret="whsec_old")) == 200
    assert WebhookEvent.objects.get().signed_with == verification.label("whsec_old")
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new"]
    assert body_signed(lambda body: header(body, secret="whsec_old")) == 400


@pytest.mark.parametrize("secrets", [[], [""], ["  "]])
def test_without_a_secret_nothing_is_verified(settings: Settings, secrets: list[str]):
    settings.STRIPE_WEBHOOK_SECRETS = secrets
    for secret in ("", "  "):
        response = post(snapshot(), signature=header(raw(snapshot()), secret=secret))
        assert (response.status_code, response.headers["Retry-After"]) == (503, "60")
    assert rows() == 0


def test_a_clock_that_is_wrong_is_counted_with_how_wrong_it_is():
    for shift in (-400, -700, -500):
        body_signed(lambda body, shift=shift: header(body, at=int(time.time()) + shift))
    counting.write()
    counted = ReceiptCount.objects.get(outcome="old")
    assert counted.count == 3
    assert -705 <= counted.worst_skew_seconds <= -699


def with_(**fields: Any) -> dict[str, Any]:
    return snapshot() | fields


HOSTILE: dict[str, Any] = {
    "null": b"null",
    "list": b"[]",
    "number": b"1",
    "text": b'"evt_1"',
    "object": b"{}",
    "not json": b"id=evt_1",
    "two": b"{}{}",
    "bom": b"\xef\xbb\xbf{}",
    "utf-16": json.dumps(snapshot()).encode("utf-16"),
    "latin-1": b'{"id":"evt_1","name":"\xe9"}',
    "nested": b"[" * 100_000 + b"]" * 100_000,
    "nested object": raw(with_(x=0)).replace(b'"x": 0', b'"x": ' + b'{"a":' * 3000 + b"1" + b"}" * 3000),
    "deep": raw(with_(x=0)).replace(b'"x": 0', b'"x": ' + b"[" * 80 + b"]" * 80),
    "NaN": raw(with_(x=0)).replace(b'"x": 0', b'"x": NaN'),
    "Infinity": raw(with_(x=0)).replace(b'"x": 0', b'"x": -Infinity'),
    "huge number": raw(with_(x=0)).replace(b'"x": 0', b'"x": ' + b"9" * 5000),
    "no id": {name: value for name, value in snapshot().items() if name != "id"},
    "id null": with_(id=None),
    "id number": with_(id=7),
    "id list": with_(id=["evt_1"]),
    "id empty": with_(id=""),
    "id too long": with_(id="evt_" + "x" * 5000),
    "id NUL": with_(id="evt_\x00"),
    "id surrogate": with_(id="evt_\ud800"),
    "id newline": with_(id="evt_1\n"),
    "no type": {name: value for name, value in snapshot().items() if name != "type"},
    "type too long": with_(type="a." * 500),
    "type number": with_(type=1),
    "created word": with_(created="yesterday"),
    "created null": with_(created=None),
    "created bool": with_(created=True),
    "created negative": with_(created=-1),
    "created huge": with_(created=10**18),
    "created float": with_(created=1.5e308),
    "data null": with_(data=None),
    "data list": with_(data=[]),
    "data.object null": with_(data={"object": None}),
    "livemode word": with_(livemode="yes"),
    "account dict": with_(account={}),
    "account long": with_(account="acct_" + "x" * 300),
    "api_version dict": with_(api_version={}),
    "other object": with_(object="charge"),
    "thin created": thin("v1.customer.created", about=None) | {"created": "soon"},
    "thin naive": thin("v1.customer.created", about=None) | {"created": "2026-10-02T08:00:00"},
    "thin related": thin("v1.customer.created", about=None) | {"related_object": "cus_1"},
    "thin snapshot": thin("v1.customer.created", about=None) | {"snapshot_event": 7},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_signed_but_no_event_is_400_and_leaves_no_row(name: str, caplog: pytest.LogCaptureFixture):
    response = post(HOSTILE[name])
    assert response.status_code == 400, response.content
    assert set(response.json()) == {"error"}
    assert len(response.content) < 300
    assert rows() == 0
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


ODD: dict[str, Any] = {
    "NUL in a name": snapshot(name="a\x00b"),
    "lone surrogate": raw(snapshot(name="X")).replace(b'"X"', b'"\\ud83d"'),
    "no object id": snapshot("balance.available") | {"data": {"object": {"object": "balance"}}},
    "object id number": snapshot() | {"data": {"object": {"id": 7}}},
    "object id with spaces": snapshot() | {"data": {"object": {"id": "a b"}}},
    "unknown type": snapshot("something.we_never.heard_of"),
    "unknown account": snapshot() | {"account": "acct_unknown"},
    "no api_version": snapshot() | {"api_version": None},
    "no object": {name: value for name, value in snapshot().items() if name != "object"},
    "emoji": snapshot(name="😀" * 1000),
    "duplicate key": raw(snapshot()).replace(b"{", b'{"id": "evt_other", ', 1),
    "thin v2": thin(
        "v2.core.account.updated", about={"id": "acct_1", "type": "v2.core.account", "url": "/v2/core/accounts/acct_1"}
    ),
    "thin about nothing": thin("v2.core.something", about=None),
    "thin context": thin("v1.customer.created", about=None) | {"context": "org_1/acct_2"},
    "big": snapshot(name="x" * 400_000),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_but_an_event_is_stored_byte_for_byte_and_settled(name: str, drain: Any, on: Any):
    body = raw(ODD[name])
    assert post(body).status_code == 200
    assert bytes(WebhookEvent.objects.get().payload) == body


def test_too_large_is_413_whatever_its_signature(settings: Settings):
    assert post(b"x" * (512 * 1024 + 1), signature="").status_code == 413
    settings.WEBHOOK_MAX_BYTES = 100
    assert post(snapshot()).status_code == 413
    settings.WEBHOOK_MAX_BYTES = 10_000
    assert post(snapshot()).status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"])
def test_another_content_type_is_415(content_type: str):
    assert post(raw(snapshot()), content_type=content_type).status_code == 415


@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "options", "patch"])
def test_only_post_is_allowed(method: str):
    response = getattr(Client(), method)(ADDRESS)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


def test_a_forged_forwarded_for_changes_nothing():
    body = raw(snapshot())
    headers = {"Stripe-Signature": header(body), "X-Forwarded-For": "not-an-ip"}
    assert Client().post(ADDRESS, body, content_type="application/json", headers=headers).status_code == 200


def test_a_flood_of_forged_ones_writes_next_to_nothing():
    body = b"x" * 100_000
    with CaptureQueriesContext(connection) as queries:
        assert {post(body, signature="t=1,v1=00").status_code for _ in range(50)} == {400}
    assert len(queries) < 12
    assert rows() == 0
    counting.write()
    assert sum(ReceiptCount.objects.values_list("count", flat=True)) == 50
