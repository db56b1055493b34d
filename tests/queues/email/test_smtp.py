"""The SMTP connection against a real server in another process that misbehaves on request."""

from __future__ import annotations

import dataclasses
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from queues.email import classify, mime
from queues.email.mail import File, Mail
from queues.email.smtp import SmtpConnection
from queues.email.smtp_connect import Server
from queues.engine import outcomes
from tests.smtp_sink import Sink

pytestmark = pytest.mark.once


def mail(number: int = 1, **changes: object) -> Mail:
    """A small mail of its own Message-ID."""
    letter = Mail(
        message_id=f"<{number}@example.com>",
        date=dt.datetime(2026, 11, 24, tzinfo=dt.UTC),
        subject="Hello",
        from_email="Shop <shop@example.com>",
        to=("anna@example.com",),
        text="Hello Anna\n",
    )
    return dataclasses.replace(letter, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shared_sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture
def sink(shared_sink: Sink) -> Sink:
    shared_sink.clear()
    return shared_sink


@pytest.fixture(scope="module")
def plain_sink() -> Iterator[Sink]:
    """A server without PIPELINING and SMTPUTF8, with a small SIZE."""
    with Sink("--no-pipelining", "--no-smtputf8", "--size", "5000") as running:
        yield running


@pytest.fixture
def connection(sink: Sink) -> Iterator[SmtpConnection]:
    opened = connect(sink)
    yield opened
    opened.close()


def connect(to: Sink, **options: object) -> SmtpConnection:
    return SmtpConnection(Server(to.host, to.port, **options))  # type: ignore[arg-type]


def test_the_bytes_arrive_as_built_and_the_envelope_holds_everyone(sink: Sink, connection: SmtpConnection) -> None:
    letter = mail(
        to=("Anna <anna@example.com>",),
        cc=("ben@example.com",),
        bcc=("Eve <eve@bücher.example>", "ANNA@example.com"),
        text=".\n..two\n.one\nend",
        attachments=(File("a.bin", "application/octet-stream", bytes(range(256))),),
    )
    receipt = connection.send(letter)

    (received,) = sink.mails()
    assert received.content == mime.build(letter)
    assert received.mail_from == "shop@example.com"
    assert received.rcpt_to == ("anna@example.com", "ben@example.com", "eve@xn--bcher-kva.example")
    assert receipt.words == "250 2.0.0 queued as 1"
    assert receipt.provider_id == "1"
    assert receipt.refused == {}


def test_a_message_that_begins_with_a_dot_keeps_it(sink: Sink, connection: SmtpConnection) -> None:
    connection.send_bytes(b".X: y\r\n\r\n.\r\n", sender="a@example.com", recipients=["b@example.com"])

    assert sink.mails()[0].content == b".X: y\r\n\r\n.\r\n"


def test_a_mail_costs_two_round_trips_where_the_server_takes_pipelining(sink: Sink, connection: SmtpConnection) -> None:
    connection.send(mail(1))
    connection.send(mail(2, to=tuple(f"p{number}@example.com" for number in range(5))))

    said = [line.removeprefix("1 ") for line in sink.transcript() if line.startswith("1 ")]
    first_mail = said.index("MAIL FROM:<shop@example.com> SIZE=" + str(len(mime.build(mail(1)))))
    assert said[first_mail - 1] == "[read]"
    assert said[first_mail + 1 : first_mail + 3] == ["RCPT TO:<anna@example.com>", "DATA"]
    assert said[first_mail:].count("[read]") == 1  # the second mail's envelope came in one piece
    assert sink.count() == 2
    assert sink.connections() == 1


def test_without_pipelining_every_command_waits_for_its_reply(plain_sink: Sink) -> None:
    connection = connect(plain_sink)
    connection.send(mail(to=("a@example.com", "b@example.com")))
    connection.close()

    said = [line.partition(" ")[2] for line in plain_sink.transcript()]
    envelope = said[said.index("[read]", 2) :]
    assert envelope[::2][:4] == ["[read]"] * 4
    assert [line.split(":")[0] for line in envelope[1::2]][:4] == ["MAIL FROM", "RCPT TO", "RCPT TO", "DATA"]


@pytest.mark.parametrize(
    ("behaviour", "kind", "code"),
    [
        ("451", outcomes.Transient, "smtp 451 4.3.0"),
        ("452", outcomes.Transient, "smtp 452 4.3.1"),
        ("550", classify.Refused, "smtp 550 5.7.1"),
        ("552", classify.Refused, "smtp 552 5.3.4"),
        ("554", classify.Refused, "smtp 554 5.6.0"),
        ("rcpt450", outcomes.Transient, "smtp 450 4.2.1"),
        ("rcpt550", classify.Refused, "smtp 550 5.1.1"),
        ("rcpt552", outcomes.Transient, "smtp 552 5.2.2"),
        ("mail451", outcomes.Transient, "smtp 451 4.3.0"),
        ("mail530", classify.TransportDown, "smtp 530 5.7.0"),
        ("mail550", classify.Refused, "smtp 550 5.7.1"),
        ("data:451 4.3.2 no data now", outcomes.Transient, "smtp 451 4.3.2"),
        ("data:554 5.5.1 no", classify.Refused, "smtp 554 5.5.1"),
        ("message421", outcomes.Transient, "smtp 421 4.3.2"),
        ("rcpt421", outcomes.Transient, "smtp 421"),
    ],
)
def test_a_refusal_has_its_outcome_and_harms_only_its_mail(
    sink: Sink, connection: SmtpConnection, behaviour: str, kind: type[outcomes.Outcome], code: str
) -> None:
    connection.send(mail(1))
    sink.set_behaviour(behaviour, times=1)
    with pytest.raises(outcomes.Outcome) as refusal:
        connection.send(mail(2))
    connection.send(mail(3))

    assert type(refusal.value) is kind
    assert refusal.value.code == code
    assert sink.copies() == {"<1@example.com>": 1, "<3@example.com>": 1}
    if kind is outcomes.Transient:
        assert refusal.value.charged  # type: ignore[attr-defined]


def test_after_a_refusal_the_connection_serves_on(sink: Sink, connection: SmtpConnection) -> None:
    for number, behaviour in enumerate(("451", "550", "rcpt550", "mail550", "data:554 5.5.1 no")):
        sink.set_behaviour(behaviour, times=1)
        with pytest.raises(outcomes.Outcome):
            connection.send(mail(number))
    # this one says 354 to DATA although it took no recipient: an empty message must end the transaction
    with pytest.raises(classify.Refused):
        connection.send(mail(5, from_email="eager-data+shop@example.com", to=("rcpt550+x@example.com",)))
    assert sink.transcript()[-1] == "1 [message of 0]"
    connection.send(mail(99))

    assert sink.copies() == {"<99@example.com>": 1}
    assert sink.connections() == 1


def test_who_was_refused_is_in_the_receipt_and_the_others_got_the_mail(sink: Sink, connection: SmtpConnection) -> None:
    people = ("ok@example.com", "rcpt550+gone@example.com", "rcpt451+later@example.com", "rcpt554+no@example.com")
    receipt = connection.send(mail(to=people))

    assert sink.mails()[0].rcpt_to == ("ok@example.com",)
    assert {address: code for address, (code, _words) in receipt.refused.items()} == {
        "rcpt550+gone@example.com": 550,
        "rcpt451+later@example.com": 451,
        "rcpt554+no@example.com": 554,
    }
    assert classify.to_retry(receipt.refused) == ["rcpt451+later@example.com"]
    assert classify.hard_bounced(receipt.refused) == ["rcpt550+gone@example.com"]


def test_all_refused_is_retried_while_one_of_them_may_come_round(connection: SmtpConnection) -> None:
    with pytest.raises(outcomes.Transient) as later:
        connection.send(mail(to=("rcpt550+gone@example.com", "rcpt450+busy@example.com")))
    with pytest.raises(classify.Refused) as never:
        connection.send(mail(to=("rcpt550+gone@example.com", "rcpt554+no@example.com")))

    assert "rcpt450+busy@example.com" in later.value.words
    assert never.value.hard == ("rcpt550+gone@example.com",)
    assert classify.hard_bounce(never.value)


def test_a_refused_policy_is_no_dead_address(connection: SmtpConnection) -> None:
    with pytest.raises(classify.Refused) as refusal:
        connection.send(mail(to=("rcpt554+no@example.com",)))

    assert not classify.hard_bounce(refusal.value)


@pytest.mark.parametrize("behaviour", ["close-mail", "mail421"])
def test_a_kept_connection_that_the_server_gave_up_is_replaced_within_the_send(
    sink: Sink, connection: SmtpConnection, behaviour: str
) -> None:
    connection.send(mail(1))
    sink.set_behaviour(behaviour, times=1)
    connection.send(mail(2))

    assert sink.copies() == {"<1@example.com>": 1, "<2@example.com>": 1}
    assert sink.connections() == 2


@pytest.mark.parametrize("words", ["", "421 4.4.2 idle for too long"])
def test_a_connection_closed_while_idle_costs_the_next_mail_nothing(
    sink: Sink, connection: SmtpConnection, words: str
) -> None:
    for number in range(5):
        connection.send(mail(number))
        sink.hang_up(words)

    assert sink.count() == 5
    assert sink.connections() == 5


def test_a_reply_too_many_is_not_taken_for_the_next_mails(sink: Sink, connection: SmtpConnection) -> None:
    sink.set_behaviour("message:250 2.0.0 taken\r\n250 2.0.0 and again", times=1)
    connection.send(mail(1))
    connection.send(mail(2))

    assert sink.copies() == {"<2@example.com>": 1}
    assert sink.connections() == 2


def test_an_interrupted_mail_leaves_no_connection_in_the_middle_of_it(
    sink: Sink, connection: SmtpConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interruption:
        interruption.setattr(SmtpConnection, "_message", interrupt)
        with pytest.raises(KeyboardInterrupt):
            connection.send(mail(1))
    connection.send(mail(2))

    assert sink.copies() == {"<2@example.com>": 1}


def test_a_mail_that_breaks_every_connection_is_charged_and_no_other_is(sink: Sink, connection: SmtpConnection) -> None:
    lost = []
    for number in range(20):
        recipient = "x@example.com" if number % 4 else "close-rcpt+x@example.com"
        try:
            connection.send(mail(number, to=(recipient,)))
        except outcomes.Transient as outcome:
            lost.append((number, outcome.charged, outcome.code))

    assert lost == [(number, True, "connection lost") for number in (0, 4, 8, 12, 16)]
    assert sink.count() == 15
    assert max(sink.copies().values()) == 1


def test_a_fresh_connection_lost_before_mail_is_answered_is_charged(sink: Sink, connection: SmtpConnection) -> None:
    sink.set_behaviour("close-mail")
    with pytest.raises(outcomes.Transient) as lost:
        connection.send(mail())

    assert type(lost.value) is outcomes.Transient
    assert lost.value.charged
    assert sink.connections() == 1


def test_a_fresh_connection_that_says_421_is_the_transports_trouble(sink: Sink, connection: SmtpConnection) -> None:
    sink.set_behaviour("mail421")
    with pytest.raises(classify.TransportDown) as down:
        connection.send(mail())

    assert not down.value.charged


@pytest.mark.parametrize("behaviour", ["close-message", "reply-lost", "garbage"])
def test_no_answer_after_the_final_dot_is_uncertain(sink: Sink, connection: SmtpConnection, behaviour: str) -> None:
    connection.send(mail(1))
    sink.set_behaviour(behaviour, times=1)
    with pytest.raises(outcomes.Uncertain) as unclear:
        connection.send(mail(2))
    connection.send(mail(3))

    assert unclear.value.code == "reply lost"
    assert sink.copies().get("<2@example.com>", 0) == (1 if behaviour == "reply-lost" else 0)
    assert sink.copies()["<3@example.com>"] == 1


@pytest.mark.parametrize(
    ("behaviour", "kind", "charged"),
    [
        ("stall-mail", outcomes.Transient, True),
        ("stall-rcpt", outcomes.Transient, True),
        ("stall-data", outcomes.Transient, True),
        ("stall-message", outcomes.Uncertain, True),
        ("reply-stall", outcomes.Uncertain, True),
        ("stall-connect", classify.TransportDown, False),
    ],
)
def test_silence_ends_in_time(sink: Sink, behaviour: str, kind: type[outcomes.Transient], charged: bool) -> None:
    connection = connect(sink, connect_seconds=0.2, command_seconds=0.2, after_data_seconds=0.2)
    sink.set_behaviour(behaviour)
    with pytest.raises(outcomes.Transient) as silent:
        connection.send(mail())
    connection.close()

    assert type(silent.value) is kind
    assert silent.value.charged is charged


def test_a_kept_connection_that_fell_silent_is_not_this_mails_fault(sink: Sink) -> None:
    connection = connect(sink, command_seconds=0.2)
    connection.send(mail(1))
    sink.set_behaviour("stall-mail", times=1)
    with pytest.raises(outcomes.Transient) as silent:
        connection.send(mail(2))
    connection.send(mail(3))
    connection.close()

    assert not silent.value.charged
    assert sink.copies() == {"<1@example.com>": 1, "<3@example.com>": 1}


def test_a_slow_server_is_waited_for(sink: Sink, connection: SmtpConnection) -> None:
    assert connection.send(mail(to=("slow-50+x@example.com",))).provider_id == "1"


def test_a_connection_is_replaced_after_its_share_of_mails(sink: Sink) -> None:
    connection = connect(sink, max_mails=3)
    for number in range(7):
        connection.send(mail(number))
    connection.close()

    assert [received.connection for received in sink.mails()] == [1, 1, 1, 2, 2, 2, 3]


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [("connect421", "smtp 421"), ("connect554", "smtp 554"), ("close-connect", "connect")],
)
def test_a_server_that_turns_us_away_at_the_door_is_down(
    sink: Sink, connection: SmtpConnection, behaviour: str, code: str
) -> None:
    sink.set_behaviour(behaviour)
    with pytest.raises(classify.TransportDown) as down:
        connection.send(mail())

    assert down.value.code == code
    assert not down.value.charged


def test_nobody_listening_and_no_such_host_are_down() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(classify.TransportDown) as refused:
            SmtpConnection(Server("127.0.0.1", unused.getsockname()[1])).send(mail())
    with pytest.raises(classify.TransportDown) as unknown:
        SmtpConnection(Server("no-such-host.invalid", 25)).send(mail())

    assert refused.value.code == "connection refused"
    assert unknown.value.code == "dns"


def test_a_mail_that_cannot_be_built_is_refused_before_anything_is_sent(sink: Sink, connection: SmtpConnection) -> None:
    for broken in (mail(from_email="nobody"), mail(to=("a@b", "c")), mail(message_id="x"), mail(to=())):
        with pytest.raises(outcomes.Permanent) as refusal:
            connection.send(broken)
        assert refusal.value.code == "unbuildable"
    assert sink.connections() == 0


def test_a_mail_larger_than_the_server_takes_is_not_even_begun(plain_sink: Sink) -> None:
    plain_sink.clear()
    connection = connect(plain_sink)
    with pytest.raises(classify.Refused) as refusal:
        connection.send(mail(text="x" * 6000))
    connection.close()

    assert refusal.value.code == "smtp 552 5.3.4"
    assert not [line for line in plain_sink.transcript() if "MAIL" in line]


def test_an_international_address_travels_by_smtputf8_or_not_at_all(sink: Sink, plain_sink: Sink) -> None:
    letter = mail(to=("Jörg <jörg@example.com>",))
    able, unable = connect(sink), connect(plain_sink)
    able.send(letter)
    with pytest.raises(classify.Refused) as refusal:
        unable.send(letter)
    able.close()
    unable.close()

    (received,) = sink.mails()
    assert received.rcpt_to == ("jörg@example.com",)
    assert received.options.endswith("BODY=8BITMIME SMTPUTF8")
    assert received.content == mime.build(letter)
    assert refusal.value.code == "no smtputf8"


def test_more_recipients_than_fit_one_write_all_get_it(sink: Sink, connection: SmtpConnection) -> None:
    people = tuple(f"person{number}@example.com" for number in range(450))
    connection.send(mail(to=people))

    assert sink.mails()[0].rcpt_to == people


def test_a_large_message_arrives_whole(sink: Sink, connection: SmtpConnection) -> None:
    letter = mail(attachments=(File("a.bin", "application/octet-stream", bytes(range(256)) * 20_000),))
    connection.send(letter)

    assert sink.mails()[0].content == mime.build(letter)


def test_ten_threads_with_a_connection_each_send_every_mail_once(sink: Sink) -> None:
    numbers = iter(range(300))
    lock = threading.Lock()

    def work() -> None:
        connection = connect(sink)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            connection.send(mail(number))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    copies = sink.copies()
    assert len(copies) == 300
    assert set(copies.values()) == {1}


def test_log_in_works_and_a_wrong_password_is_the_transports_trouble() -> None:
    with Sink("--auth", "shop:s3cret") as sink:
        right, wrong, none = (
            connect(sink, user="shop", password="s3cret"),
            connect(sink, user="shop", password="guess"),
            connect(sink),
        )
        right.send(mail(1))
        with pytest.raises(classify.TransportDown) as refused:
            wrong.send(mail(2))
        with pytest.raises(classify.TransportDown) as wanted:
            none.send(mail(3))
        for each in (right, wrong, none):
            each.close()
        assert sink.copies() == {"<1@example.com>": 1}

    assert refused.value.code == "smtp 535"
    assert "guess" not in refused.value.words
    assert wanted.value.code == "smtp 530 5.7.0"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for `localhost`, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize("implicit", [False, True])
def test_tls_is_verified(certificate: Path, implicit: bool) -> None:
    with Sink("--cert", str(certificate), *(["--implicit-tls"] if implicit else [])) as sink:
        known, unknown, other = (
            Server("localhost", sink.port, implicit_tls=implicit, starttls=not implicit, ca_file=str(certificate)),
            Server("localhost", sink.port, implicit_tls=implicit, starttls=not implicit),
            Server("127.0.0.1", sink.port, implicit_tls=implicit, starttls=not implicit, ca_file=str(certificate)),
        )
        connection = SmtpConnection(known)
        connection.send(mail(1))
        assert isinstance(connection._sock, ssl.SSLSocket)
        connection.send(mail(2, attachments=(File("a", "application/octet-stream", b"\0" * 300_000),)))
        connection.close()
        for server in (unknown, other):
            with pytest.raises(classify.TransportDown) as down:
                SmtpConnection(server).send(mail(3))
            assert down.value.code == "tls certificate"
        assert sink.copies() == {"<1@example.com>": 1, "<2@example.com>": 1}


def test_starttls_that_is_insisted_on_and_not_offered_is_down(sink: Sink) -> None:
    with pytest.raises(classify.TransportDown) as down:
        connect(sink, starttls=True, user="shop", password="s3cret").send(mail())

    assert "STARTTLS" in down.value.words
    assert not [line for line in sink.transcript() if "AUTH" in line]
