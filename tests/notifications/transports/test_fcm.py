"""FCM against a strict Google: schema, sizes, access tokens."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connections
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from notifications.models import Credential
from notifications.states import AddressKind
from notifications.transports import fcm, google, tokens, wire
from notifications.transports.answers import Address, Message, Verdict
from tests.notifications.transports import google_schema
from tests.notifications.transports.google_server import GoogleServer, Told, error

TOKEN = Address(app="default", kind=AddressKind.FCM_TOKEN, address="d" * 22 + ":" + "A" * 120)
FID = Address(app="default", kind=AddressKind.FCM_FID, address="c" + "B" * 21)
HELLO = Message(title="Hello", body="there", collapse_id="c-1")

text = st.text(max_size=300)
messages = st.builds(
    Message,
    title=text,
    body=st.text(max_size=2000),
    url=text,
    data=st.dictionaries(text, st.text(max_size=1000), max_size=4),
    ack_url=text,
    collapse_id=st.text(max_size=64),
    ttl=st.timedeltas(min_value=timedelta(days=-1), max_value=timedelta(days=500)),
    urgent=st.booleans(),
    silent=st.booleans(),
    dry_run=st.booleans(),
)


@pytest.mark.once
@settings(max_examples=100, deadline=None)
@given(messages, st.sampled_from([TOKEN, FID]))
def test_every_message_fits_googles_schema_and_size(message: Message, address: Address):
    """Whatever is in it; and what is too large is known before it is sent."""
    body = fcm.encoded(message, address, now=datetime(2026, 11, 24, tzinfo=UTC))
    said = fcm.request(message, address, now=datetime(2026, 11, 24, tzinfo=UTC))
    assert google_schema.faults(said) == []
    payload = {name: said["message"].get(name) for name in ("notification", "data")}
    size = len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
    assert (body is None) == (size > 4096)


@pytest.mark.once
def test_the_schema_finds_mistakes():
    """Else the test above would prove nothing."""
    wrong = {"message": {"token": 5, "data": {"n": 1}, "colapseKey": "x", "android": {"priority": "URGENT"}}}
    assert google_schema.faults(wrong) == [
        "SendMessageRequest.message.token: not string",
        "SendMessageRequest.message.data.n: not string",
        "SendMessageRequest.message.colapseKey: unknown",
        "SendMessageRequest.message.android.priority: not one of the enumeration",
    ]


@pytest.mark.once
@pytest.mark.django_db
def test_what_google_gets(google_server: GoogleServer, google_carrier: fcm.Fcm):
    """Token or installation id, tag, times and links; a dry run asks for validation only."""
    full = Message(
        title="Hello",
        body="there",
        url="/o/1",
        data={"k": "v"},
        ack_url="https://x/a",
        collapse_id="c-1",
        ttl=timedelta(hours=1),
        urgent=True,
    )
    answer = google_carrier.send(full, TOKEN)
    assert (answer.verdict, answer.provider_id) == (Verdict.ACCEPTED, "projects/p/messages/1")
    google_carrier.send(Message(title="x", silent=True, dry_run=True, collapse_id="c-2"), FID)
    first, second = google_server.messages
    assert first["message"]["token"] == TOKEN.address
    assert first["message"]["data"] == {"k": "v", "url": "/o/1", "ack_url": "https://x/a", "tag": "c-1"}
    assert first["message"]["android"] == {"priority": "HIGH", "ttl": "3600s", "notification": {"tag": "c-1"}}
    assert first["message"]["apns"]["headers"]["apns-collapse-id"] == "c-1"
    assert "validateOnly" not in first
    assert (second["message"]["fid"], second["validateOnly"]) == (FID.address, True)
    assert "notification" not in second["message"]


@pytest.mark.once
@pytest.mark.django_db
def test_too_much_text_is_not_sent(google_server: GoogleServer, google_carrier: fcm.Fcm):
    """No request, no token, no device harmed."""
    answer = google_carrier.send(Message(title="x", body="x" * 4096), TOKEN)
    assert (answer.verdict, answer.reason) == (Verdict.FAULT, "PayloadTooLarge")
    assert google_server.requests == []


@pytest.mark.django_db
def test_one_access_token_for_an_hour_and_for_all_workers(google_server: GoogleServer, google_carrier: fcm.Fcm):
    """Kept in the table: another process, which has forgotten nothing because it never knew, asks for none."""
    now = timezone.now()
    for _ in range(3):
        google_carrier.send(HELLO, TOKEN)
        tokens.forget()
    assert google_server.grants == 1
    assert Credential.objects.get().name.startswith("fcm:")
    with time_machine.travel(now + timedelta(minutes=56), tick=False):
        google_carrier.send(HELLO, TOKEN)
    assert google_server.grants == 2
    assert Credential.objects.count() == 1


@pytest.mark.django_db
def test_a_refused_access_token_is_replaced_once_before_the_lane_stops(
    google_server: GoogleServer, google_carrier: fcm.Fcm
):
    """The push goes out with the new one; if that is refused too, the lane stops."""
    google_carrier.send(HELLO, TOKEN)
    google_server.issued.clear()
    assert google_carrier.send(HELLO, TOKEN).verdict is Verdict.ACCEPTED
    assert google_server.grants == 2

    google_server.send = lambda _: error(401, "UNAUTHENTICATED")
    assert google_carrier.send(HELLO, TOKEN).verdict is Verdict.STOP
    assert google_server.grants == 3
    google_server.send = lambda _: error(401, "UNAUTHENTICATED", fcm="THIRD_PARTY_AUTH_ERROR")
    assert google_carrier.send(HELLO, TOKEN).verdict is Verdict.STOP
    assert google_server.grants == 3  # it is Firebase's key that is wrong, not ours


@pytest.mark.django_db(transaction=True)
def test_of_many_threads_one_asks_for_the_token(google_server: GoogleServer, google_carrier: fcm.Fcm):
    """A process that begins to send with all its hands at once."""
    barrier = threading.Barrier(6)
    verdicts: list[Verdict] = []

    def hand() -> None:
        barrier.wait(5)
        verdicts.append(google_carrier.send(HELLO, TOKEN).verdict)
        google_carrier.close()
        connections.close_all()

    threads = [threading.Thread(target=hand) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert verdicts == [Verdict.ACCEPTED] * 6
    assert google_server.grants == 1


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_a_log_in_that_hangs_is_waited_for_once(
    google_server: GoogleServer, google_carrier: fcm.Fcm, monkeypatch: pytest.MonkeyPatch
):
    """Not by one hand after the other: those who waited meanwhile come back with it."""
    monkeypatch.setattr(wire, "SEND_SECONDS", 0.4)
    google_server.grant = lambda: Told(do="silence")
    verdicts: list[Verdict] = []

    def hand() -> None:
        verdicts.append(google_carrier.send(HELLO, TOKEN).verdict)
        connections.close_all()

    threads = [threading.Thread(target=hand) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert verdicts == [Verdict.RETRY] * 6
    assert google_server.grants == 1


@pytest.mark.once
@pytest.mark.django_db
def test_the_compare_and_set_has_one_winner(google_server: GoogleServer):
    """Two processes find no token, or an old one, at the same moment: both send with the one that was stored first."""
    now = timezone.now()
    kind = tokens.Kind(renew_before=timedelta(), at_least=timedelta())

    def rival(name: str, text: str) -> Any:
        def make(at: datetime) -> tokens.Token:
            tokens.forget()
            tokens._locks[name].release()  # the rival is another process: it does not know our lock
            try:
                tokens.get(name, kind, lambda at: tokens.Token(f"rival-{text}", at, at + timedelta(hours=1)), now=at)
            finally:
                tokens._locks[name].acquire()
            return tokens.Token(f"late-{text}", at, at + timedelta(hours=1))

        return make

    assert tokens.get("x", kind, rival("x", "first"), now=now).text == "rival-first"
    tokens.forget()
    later = now + timedelta(hours=2)
    assert tokens.get("x", kind, rival("x", "second"), now=later).text == "rival-second"
    assert Credential.objects.get(name="x").token == "rival-second"


@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not set"),
        ("/nowhere/key.json", "cannot be read"),
        ("{", "not JSON"),
        ("[" * 100_000, "cannot be read"),
        ('{"type": "service_account"}', "project_id"),
        ('{"type": "service_account", "project_id": 5}', "project_id"),
        (
            '{"type":"service_account","project_id":"p","client_email":"e","private_key":"secret","token_uri":"u"}',
            "private key",
        ),
    ],
)
def test_credentials_that_cannot_be_used(settings: Settings, google_carrier: fcm.Fcm, text: str, words: str):
    """Said in words that hold no secret; the lane stops."""
    settings.FCM_CREDENTIALS = text
    with pytest.raises(google.BadCredentials, match=words) as caught:
        google.account(text)
    assert "secret" not in str(caught.value)
    answer = google_carrier.send(HELLO, TOKEN)
    assert (answer.verdict, answer.lane_reason) == (Verdict.STOP, "not set up")


@pytest.mark.once
def test_credentials_from_a_file(
    google_server: GoogleServer, google_carrier: fcm.Fcm, settings: Settings, tmp_path: Any
):
    """The path of the key file; and a lane for each platform behind Firebase."""
    inline = google_carrier.credential(TOKEN)
    file = tmp_path / "key.json"
    file.write_text(google_server.credentials)
    settings.FCM_CREDENTIALS = str(file)
    assert google_carrier.credential(TOKEN) == inline
    names = {
        google_carrier.credential(Address("default", AddressKind.FCM_TOKEN, "x", platform=platform))
        for platform in ("android", "ios", "web", "anything else", "")
    }
    assert len(names) == 4
    assert all(len(name) <= 64 for name in names)


@pytest.mark.once
@pytest.mark.django_db
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(200, 599),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "details", "status", "errorCode", "message"]), inner, max_size=4
            )
        ),
        max_leaves=10,
    ),
)
def test_no_answer_makes_it_raise_or_harms_a_device(
    google_server: GoogleServer, google_carrier: fcm.Fcm, status: int, body: Any
):
    """Whatever JSON comes back under whatever status."""
    google_server.send = lambda _: Told(status, b"" if status in {204, 304} else json.dumps(body).encode())
    answer = google_carrier.send(HELLO, TOKEN)
    assert answer.verdict not in {Verdict.INVALIDATE, Verdict.SUSPECT}
