"""EMAIL_DELIVERY_URL as transports, and providers' APIs played by a real HTTP server on loopback."""

from __future__ import annotations

import base64
import dataclasses
import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import pytest

from queues.email import anymail_transport, classify, transports
from queues.email.anymail_transport import AnymailTransport
from queues.email.mail import File, Mail
from queues.email.transports import Connection, SmtpTransport
from queues.engine import outcomes
from tests.smtp_sink import Sink

pytestmark = pytest.mark.once

LETTER = Mail(
    message_id="<20261124.1@example.com>",
    date=datetime(2026, 11, 24, tzinfo=UTC),
    subject="Grüße",
    from_email='"Shop, Inc" <shop@example.com>',
    to=("Jörg Müller <joerg@example.com>",),
    bcc=("eve@example.com",),
    text="Hello\n",
    html="<p>Hello</p>",
    headers=(("X-Order", "7"),),
)


# --- the URL ---


@pytest.mark.parametrize(
    ("url", "name", "expected"),
    [
        ("smtp://mail.example.com", "smtp:mail.example.com:25", {"starttls": False, "user": ""}),
        ("smtp://mail.example.com?tls=1", "smtp:mail.example.com:25", {"starttls": True}),
        ("smtp://u:p%40%2C%3A@mail.example.com", "smtp:mail.example.com:587", {"starttls": True, "password": "p@,:"}),
        ("smtp://u:p@mail.example.com:2525?tls=0", "smtp:mail.example.com:2525", {"starttls": False}),
        ("smtp://u:p@127.0.0.1:2525", "smtp:127.0.0.1:2525", {"starttls": False, "user": "u"}),
        ("smtps://u:p@mail.example.com", "smtp:mail.example.com:465", {"implicit_tls": True, "starttls": False}),
        ("smtp://[::1]:25", "smtp:::1:25", {"host": "::1"}),
        (
            "smtp://h?connect=1.5&command=2&after_data=90&mails=7&ehlo=me.example&ca=/etc/ca.pem",
            "smtp:h:25",
            {
                "connect_seconds": 1.5,
                "command_seconds": 2,
                "after_data_seconds": 90,
                "max_mails": 7,
                "ehlo": "me.example",
            },
        ),
    ],
)
def test_an_smtp_url_says_where_and_how(url: str, name: str, expected: dict[str, Any]) -> None:
    (transport,) = transports.parse(url)

    assert isinstance(transport, SmtpTransport)
    assert transport.name == name
    assert not transport.keyed
    assert {field: getattr(transport.server, field) for field in expected} == expected


def test_a_list_is_in_order_of_failover() -> None:
    ways = transports.parse("resend://re_key, smtp://u:p,w@one.example,smtps://two.example ,console://")

    assert [way.name for way in ways] == ["resend", "smtp:one.example:587", "smtp:two.example:465", "console"]
    assert [way.keyed for way in ways] == [True, False, False, False]
    assert transports.parse("") == ()


@pytest.mark.parametrize(
    ("url", "provider", "options"),
    [
        ("resend://re_Key", "resend", {"api_key": "re_Key"}),
        ("postmark://tok-EN?message_stream=news", "postmark", {"server_token": "tok-EN", "message_stream": "news"}),
        ("mailgun://KEY@mg.example.com", "mailgun", {"api_key": "KEY", "sender_domain": "mg.example.com"}),
        ("mailjet://key:sec%40ret", "mailjet", {"api_key": "key", "secret_key": "sec@ret"}),
        ("scaleway://key@project-id?region=nl-ams", "scaleway", {"project_id": "project-id", "region": "nl-ams"}),
        ("sendgrid://SG.a%2Fb", "sendgrid", {"api_key": "SG.a/b"}),
        ("brevo://k?api_url=https%3A%2F%2Fx.example%2Fv3%2F", "brevo", {"api_url": "https://x.example/v3/"}),
    ],
)
@pytest.mark.filterwarnings("ignore::anymail.exceptions.AnymailNotSupportedWarning")
def test_a_providers_url_becomes_its_options(url: str, provider: str, options: dict[str, str]) -> None:
    (transport,) = transports.parse(url)

    assert isinstance(transport, AnymailTransport)
    assert transport.name == provider
    assert {name: transport.options.get(name) for name in options} == options


@pytest.mark.filterwarnings("ignore::anymail.exceptions.AnymailNotSupportedWarning")
def test_every_provider_of_the_table_loads_its_backend() -> None:
    for provider, row in anymail_transport.PROVIDERS.items():
        if provider == "ses":
            continue  # needs boto3
        options = dict.fromkeys((row.user, *row.needs), "x")
        backend = AnymailTransport(provider, options).backend()
        assert backend.timeout == anymail_transport.TIMEOUTS
        assert all(hasattr(backend, name) for name in row.options if name not in {"region"}), provider


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("smtp://:S3CRET@h", "user and password go together"),
        ("smtp://u:S3CRET@", "no host"),
        ("smtp://u:S3CRET@h:99999", "not a URL"),
        ("smtp://u:S3CRET@h:port", "not a URL"),
        ("smtp://u:S3CRET@[::1", "not a URL"),
        ("smtp://u:S3CRETü@h", "must be ASCII"),
        ("smtp://u:S3CRET@h?tls=maybe", "tls is 1 or 0"),
        ("smtps://u:S3CRET@h?tls=0", "tls is 1 or 0"),
        ("smtp://u:S3CRET@h?command=S3CRET", "command is a number from 0.1 to 600"),
        ("smtp://u:S3CRET@h?mails=0", "mails is a number"),
        ("smtp://u:S3CRET@h?ehlo=a%0d%0ab", "ehlo is a host name"),
        ("smtp://u:S3CRET@h?color=red", "unknown option 'color'"),
        ("smtp://u:S3CRET@h?tls=1&tls=0", "given twice"),
        ("smtp://u:S3CRET@h?tls", "not a URL"),
        ("pigeon://S3CRET", "unknown scheme 'pigeon'"),
        ("S3CRET", "console takes nothing more"),
        ("smtp://u:S3CRET@one.example,two.example", "not a host name"),
        ("sendgrid://SG.S3CRET/x", "not percent-encoded"),
        ("resend://S3CRET#x", "not percent-encoded"),
        ("resend://", "resend needs api_key"),
        ("resend://S3CRET@host", "more in the URL than resend takes"),
        ("resend://S3CRET?colour=red", "unknown option 'colour'"),
        ("mailjet://S3CRET", "mailjet needs secret_key"),
        ("postal://S3CRET", "postal needs api_url"),
        ("ses://S3CRET:S3CRET@eu-west-1", "needs a package that is not installed"),
    ],
)
def test_a_wrong_url_is_named_by_its_place_and_keeps_its_secret(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^transport [12]: .*{reason}") as wrong:
        transports.parse(f"console://,{url}")

    assert "S3CRET" not in str(wrong.value)
    assert wrong.value.__cause__ is None
    assert wrong.value.__suppress_context__


def test_no_secret_is_shown() -> None:
    for way in transports.parse("smtp://u:S3CRET@h,resend://S3CRET,mailgun://S3CRET@d.example"):
        assert "S3CRET" not in repr(way) + way.name


# --- ways out ---


def test_smtp_and_console_carry_a_mail(capsys: pytest.CaptureFixture[str]) -> None:
    with Sink() as sink:
        for way in transports.parse(f"{sink.url},console://"):
            connection = way.open()
            connection.send(LETTER, key="k", metadata={"a": "b"}, tags=["t"])
            connection.close()
        assert sink.copies() == {LETTER.message_id: 1}

    printed = capsys.readouterr().out
    assert "Message-ID: <20261124.1@example.com>" in printed
    assert "eve@example.com" not in printed


class Provider:
    """An HTTP server that answers every request as told and remembers it."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.status, self.body, self.headers = 200, b'{"id": "provider-1"}', dict[str, str]()
        self.silent: Callable[[socket.socket], object] | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, dict(self.headers), json.loads(content)))
                if outer.silent:
                    outer.silent(self.connection)
                    self.close_connection = True
                    return
                self.send_response(outer.status)
                for name, value in {**outer.headers, "Content-Length": str(len(outer.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *args: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def open(self, scheme: str, credentials: str = "key") -> Connection:
        api = quote(f"http://127.0.0.1:{self.server.server_port}/", safe="")
        (way,) = transports.parse(f"{scheme}://{credentials}?api_url={api}")
        return way.open()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    running = Provider()
    yield running
    running.close()


@pytest.fixture
def resend(provider: Provider) -> Iterator[Connection]:
    connection = provider.open("resend")
    yield connection
    connection.close()


def test_a_mail_reaches_the_provider_with_key_and_metadata(provider: Provider, resend: Connection) -> None:
    letter = dataclasses.replace(
        LETTER,
        attachments=(
            File("a.pdf", "application/pdf", b"\x00PDF"),
            File("logo.png", "image/png", b"PNG", "logo@example.com"),
        ),
    )
    receipt = resend.send(letter, key="order-7", metadata={"order": "7"}, tags=["receipt", "shop"])

    ((path, headers, body),) = provider.requests
    assert path == "/emails"
    assert headers["Idempotency-Key"] == "order-7"
    assert body["from"] == '"Shop, Inc" <shop@example.com>'
    assert body["to"] == ["Jörg Müller <joerg@example.com>"]
    assert body["bcc"] == ["eve@example.com"]
    assert (body["subject"], body["text"], body["html"]) == ("Grüße", "Hello\n", "<p>Hello</p>")
    assert body["headers"]["Message-ID"] == LETTER.message_id
    assert body["headers"]["X-Order"] == "7"
    assert json.loads(body["headers"]["X-Metadata"]) == {"order": "7", "redrive_id": LETTER.message_id}
    assert json.loads(body["headers"]["X-Tags"]) == ["receipt", "shop"]
    assert [(file["filename"], base64.b64decode(file["content"])) for file in body["attachments"]] == [
        ("a.pdf", b"\x00PDF"),
        ("logo.png", b"PNG"),
    ]
    assert body["attachments"][1]["content_id"] == "logo@example.com"
    assert receipt.provider_id == "provider-1"
    assert receipt.refused == {}


def test_a_key_belongs_to_its_mail_alone(provider: Provider, resend: Connection) -> None:
    resend.send(LETTER, key="one")
    resend.send(LETTER)
    resend.send(LETTER, key="not fit for a header\r\n: ü")

    keys = [headers.get("Idempotency-Key") for _path, headers, _body in provider.requests]
    assert keys[:2] == ["one", None]
    assert len(keys[2] or "") == 64


def test_brevo_gets_the_key_as_a_uuid_among_the_headers(provider: Provider) -> None:
    provider.body = b'{"messageId": "<x@brevo>"}'
    connection = provider.open("brevo")
    connection.send(LETTER, key="order-7")
    connection.send(LETTER, key="order-7")
    connection.send(LETTER, key="order-8")
    connection.close()

    keys = [body["headers"]["idempotencyKey"] for _path, _headers, body in provider.requests]
    assert keys[0] == keys[1] != keys[2]
    assert len(keys[0]) == 36


def test_html_alone_and_a_single_tag_are_no_trouble(provider: Provider) -> None:
    provider.body = b'{"ErrorCode": 0, "MessageID": "pm-1", "Message": "OK", "To": "joerg@example.com"}'
    connection = provider.open("postmark")
    receipt = connection.send(dataclasses.replace(LETTER, text="", bcc=()), tags=["one", "two"])
    connection.close()

    ((_path, _headers, body),) = provider.requests
    assert body["HtmlBody"] == "<p>Hello</p>"
    assert "TextBody" not in body
    assert body["Tag"] == "one"
    assert receipt.provider_id == "pm-1"


def test_only_named_recipients_are_told_to_the_provider(provider: Provider, resend: Connection) -> None:
    resend.send(dataclasses.replace(LETTER, only=("eve@example.com",), cc=("c@example.com",), to=LETTER.to))

    ((_path, _headers, body),) = provider.requests
    assert body["bcc"] == ["eve@example.com"]
    assert not body.get("to")
    assert "cc" not in body


def test_recipients_the_provider_refuses_are_in_the_receipt(provider: Provider) -> None:
    said = [("joerg@example.com", "sent"), ("a@example.com", "invalid"), ("b@example.com", "rejected")]
    provider.body = json.dumps([{"email": who, "status": how, "_id": "m1"} for who, how in said]).encode()
    letter = dataclasses.replace(LETTER, to=tuple(who for who, _how in said), bcc=())
    connection = provider.open("mandrill")
    receipt = connection.send(letter)
    provider.body = json.dumps([{"email": who, "status": "invalid", "_id": "m1"} for who, _how in said]).encode()
    with pytest.raises(classify.Refused) as refused:
        connection.send(letter)
    connection.close()

    assert set(receipt.refused) == {"a@example.com", "b@example.com"}
    assert classify.hard_bounced(receipt.refused) == ["a@example.com"]
    assert classify.to_retry(receipt.refused) == []
    assert set(refused.value.hard) == {who for who, _how in said}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"message": "no"}, outcomes.Permanent),
        (401, {"message": "bad key"}, classify.TransportDown),
        (403, {"name": "invalid_api_key"}, classify.TransportDown),
        (403, {"name": "validation_error"}, outcomes.Permanent),
        (404, {"message": "no such route"}, classify.TransportDown),
        (408, {}, outcomes.Transient),
        (409, {"name": "concurrent_idempotent_requests"}, outcomes.Transient),
        (409, {"name": "invalid_idempotent_request"}, outcomes.Permanent),
        (413, {}, outcomes.Permanent),
        (422, {"name": "invalid_from_address"}, outcomes.Permanent),
        (429, {"name": "rate_limit_exceeded"}, classify.TransportDown),
        (500, {}, classify.TransportDown),
        (502, "<html>bad gateway", classify.TransportDown),
        (503, [], classify.TransportDown),
        (504, {}, outcomes.Uncertain),
        (200, "<html>what?", outcomes.Uncertain),
        (200, {"unexpected": 1}, outcomes.Uncertain),
    ],
)
def test_a_status_has_its_outcome(
    provider: Provider, resend: Connection, status: int, body: object, kind: type[outcomes.Outcome]
) -> None:
    provider.status = status
    provider.body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    with pytest.raises(outcomes.Outcome) as said:
        resend.send(LETTER, key="k")

    assert type(said.value) is kind
    assert said.value.words
    assert "Bearer" not in said.value.words
    if isinstance(said.value, classify.TransportDown):
        assert not said.value.charged


def test_a_key_that_brevo_has_seen_leaves_it_open(provider: Provider) -> None:
    provider.status, provider.body = 400, b'{"code": "duplicate_parameter", "message": "seen"}'
    connection = provider.open("brevo")
    with pytest.raises(outcomes.Uncertain):
        connection.send(LETTER, key="k")
    connection.close()


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "17"}, timedelta(seconds=17)),
        ({"Retry-After": format_datetime(NOON + timedelta(minutes=3), usegmt=True)}, timedelta(minutes=3)),
        ({"Retry-After": format_datetime(NOON - timedelta(minutes=3), usegmt=True)}, timedelta()),
        ({"Retry-After": "99999999999999999999"}, timedelta(hours=24)),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_heard(
    provider: Provider,
    resend: Connection,
    headers: dict[str, str],
    wait: timedelta | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda _self: format_datetime(NOON, usegmt=True))
    provider.status, provider.headers = 429, headers
    with pytest.raises(outcomes.Transient) as said:
        resend.send(LETTER)

    assert said.value.retry_after == wait


def test_an_answer_that_never_comes_is_uncertain(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anymail_transport, "TIMEOUTS", (1.0, 0.2))
    released = threading.Event()
    for silence in (lambda peer: peer.shutdown(socket.SHUT_RDWR), lambda _peer: released.wait(10)):
        provider.silent = silence
        connection = provider.open("resend")
        with pytest.raises(outcomes.Uncertain) as unclear:
            connection.send(LETTER)
        connection.close()
        released.set()
        assert unclear.value.code == "resend reply lost"


def test_a_provider_that_cannot_be_reached_is_down() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        api = quote(f"http://127.0.0.1:{unused.getsockname()[1]}/", safe="")
        (way,) = transports.parse(f"resend://key?api_url={api}")
        connection = way.open()
        with pytest.raises(classify.TransportDown) as down:
            connection.send(LETTER)
        connection.close()

    assert down.value.code == "resend connect"


def test_what_a_provider_cannot_send_is_refused_for_good(provider: Provider) -> None:
    connection = provider.open("brevo")
    inline = dataclasses.replace(LETTER, attachments=(File("l.png", "image/png", b"", "logo"),))
    for letter in (inline, dataclasses.replace(LETTER, to=("nobody",))):
        with pytest.raises(outcomes.Permanent):
            connection.send(letter)
    connection.close()

    assert provider.requests == []
