"""The floors: what psycopg and SMTP allow when there is no product at all.

Claim 50, send, mark 50. No templates, no suppression, no per-mail outcome; the message is joined from ready strings.
BENCH_SETTLE=each marks every mail by itself; BENCH_SMTP=pipelined writes the envelope in one packet and the next
envelope right behind the message, on BENCH_CONNECTIONS connections at once.
"""

from __future__ import annotations

import os
import smtplib
from collections.abc import Iterable

import psycopg

from benchmarks.email import mail, progress
from benchmarks.email.contenders import raw_smtp

BATCH = 50
LEASE_SECONDS = int(os.environ.get("BENCH_LEASE", "30"))

TABLE = """
CREATE TABLE IF NOT EXISTS raw_mail (
    id bigserial PRIMARY KEY, number int NOT NULL, recipient text NOT NULL, subject text NOT NULL, text text NOT NULL,
    html text NOT NULL, status smallint NOT NULL DEFAULT 0, due_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS raw_mail_due ON raw_mail (due_at, id) WHERE status = 0
"""
INSERT = "INSERT INTO raw_mail (number, recipient, subject, text, html) VALUES (%s, %s, %s, %s, %s)"
COPY = "COPY raw_mail (number, recipient, subject, text, html) FROM STDIN"
# The lease is the due time itself: a claim moves it into the future, a crashed worker's mails come due again.
CLAIM = """
UPDATE raw_mail SET due_at = now() + %s * interval '1 second' WHERE id IN (
    SELECT id FROM raw_mail WHERE status = 0 AND due_at <= now() ORDER BY due_at, id LIMIT %s FOR UPDATE SKIP LOCKED
) RETURNING id, number, recipient, subject, text, html
"""
MARK = "UPDATE raw_mail SET status = 1 WHERE id = ANY(%s)"

_connection: psycopg.Connection


def prepare() -> None:
    global _connection
    _connection = psycopg.connect(autocommit=True)


def migrate() -> None:
    _connection.execute(TABLE)


def enqueue(number: int, to: str) -> None:
    _connection.execute(INSERT, (number, to, mail.SUBJECT, mail.TEXT, mail.HTML))


def enqueue_many(pairs: list[tuple[int, str]]) -> None:
    with _connection.cursor() as cursor, cursor.copy(COPY) as copy:
        for number, to in pairs:
            copy.write_row((number, to, mail.SUBJECT, mail.TEXT, mail.HTML))


def drain(host: int) -> None:
    transport = _transport()
    each = os.environ.get("BENCH_SETTLE") == "each"
    while rows := _connection.execute(CLAIM, (LEASE_SECONDS, BATCH)).fetchall():
        mails = [
            raw_smtp.Mail(key, to, _message(number, to, subject, text, html))
            for key, number, to, subject, text, html in rows
        ]
        if each:
            for one in mails:
                _connection.execute(MARK, (list(transport.send([one])),))
        else:
            _connection.execute(MARK, (list(transport.send(mails)),))


def state() -> dict[str, int]:
    pending, sent = _connection.execute(
        "SELECT count(*) FILTER (WHERE status = 0), count(*) FILTER (WHERE status = 1) FROM raw_mail"
    ).fetchone() or (0, 0)
    return {"pending": pending, "sent": sent, "failed": 0}


class _Null:
    """Sends nothing."""

    def send(self, mails: Iterable[raw_smtp.Mail]) -> Iterable[int]:
        for one in mails:
            progress.count()
            yield one.key


class _Smtplib:
    """The standard library's client on one connection."""

    def __init__(self, port: int) -> None:
        self._client = smtplib.SMTP("127.0.0.1", port)

    def send(self, mails: Iterable[raw_smtp.Mail]) -> Iterable[int]:
        for one in mails:
            self._client.sendmail("shop@example.com", [one.to], one.message)
            yield one.key


def _transport() -> _Null | _Smtplib | raw_smtp.Pipelined:
    if os.environ.get("BENCH_TRANSPORT") == "null":
        return _Null()
    port = int(os.environ["BENCH_SMTP_PORT"])
    if os.environ.get("BENCH_SMTP") == "pipelined":
        return raw_smtp.Pipelined(port=port, connections=int(os.environ.get("BENCH_CONNECTIONS", "1")))
    return _Smtplib(port)


def _message(number: int, to: str, subject: str, text: str, html: str) -> bytes:
    return (
        f"From: {mail.SENDER}\r\nTo: {to}\r\nSubject: {subject}\r\n{mail.HEADER}: {number}\r\n"
        "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
        f"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
        f"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n--b--\r\n"
    ).encode()
