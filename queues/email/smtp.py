"""An SMTP connection that carries one mail after the other: smtplib connects and logs in, the transactions are ours.

Where the server offers PIPELINING (RFC 2920), MAIL, RCPT and DATA are one write and the message with its final dot
another: two round trips a mail. What goes wrong is told apart by how far the mail had come:

    before MAIL FROM was answered, kept connection closed or 421    a fresh connection, once, within the same `send`
                                   kept connection silent           Transient, not charged
                                   fresh connection, 421            TransportDown
                                   fresh connection, lost           Transient
    before the final dot was written                                Transient
    after it, without an answer                                     Uncertain
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import time
from collections.abc import Mapping, Sequence

from queues.email import addresses, classify, mime, smtp_connect
from queues.email.mail import Mail
from queues.email.receipt import Receipt
from queues.email.smtp_connect import Server
from queues.engine import outcomes

REPLY_MAX = 65_536
"""Octets of one reply; more is not SMTP."""
READ_OCTETS = 8192
PIPELINE_MAX = 100
"""Commands in one write: with more, both sides could wait for the other to read (RFC 2920 section 3.1)."""
SLOWEST_OCTETS_A_SECOND = 50_000
"""A large message gets this much more time to be written."""

_QUEUED_AS = re.compile(r"(?i)queued as <?([\w.@+-]{1,200})")
_OK_ID = re.compile(r"(?i)(?:\d\.\d\.\d )?ok:? <?([\w.@+-]{20,200})")
"""Amazon SES says `250 Ok 0100018c…`."""

type Reply = tuple[int, str]


class _Lost(Exception):
    """The connection broke or fell silent. `before_mail`: MAIL FROM had not been answered."""

    def __init__(self, words: str, *, code: str) -> None:
        super().__init__(words)
        self.words, self.code, self.before_mail = words, code, False


class SmtpConnection:
    """One connection of one thread; it connects at the first mail, and again when it must."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._smtp: smtplib.SMTP | None = None
        self._sock: socket.socket | None = None
        self._served = 0
        self._dirty = False
        self._pipelining = self._smtputf8 = False
        self._size: int | None = None
        self._buffer = b""

    def send(
        self, mail: Mail, *, key: str = "", metadata: Mapping[str, str] | None = None, tags: Sequence[str] = ()
    ) -> Receipt:
        """Hand the mail over. Raises an outcome; a partial refusal is in the Receipt.

        `key`, `metadata` and `tags` mean nothing to SMTP; the Message-ID is what ties things together.
        """
        try:
            content = mime.build(mail)
            sender = addresses.split(mail.from_email)[1]
            recipients = mail.recipients()
        except ValueError as error:
            raise outcomes.Permanent(f"cannot be built: {error}", code="unbuildable") from error
        if not recipients:
            raise outcomes.Permanent("no recipient", code="unbuildable")
        return self.send_bytes(content, sender=sender, recipients=recipients)

    def send_bytes(self, content: bytes, *, sender: str, recipients: Sequence[str]) -> Receipt:
        """Hand over a built message. Lines end with CRLF, the last one too; raises as `send` does."""
        if self._served >= self.server.max_mails or self._buffer:  # a reply that nobody asked for
            self.close()
        kept = self._sock is not None
        try:
            return self._transaction(content, sender, recipients)
        except _Lost as lost:
            if not (kept and lost.before_mail):
                raise _outcome(lost) from None
            if lost.code == "timeout":
                raise outcomes.Transient(lost.words, code=lost.code, charged=False) from None
        # A server may close an idle connection at any time; nothing of this mail was taken.
        try:
            return self._transaction(content, sender, recipients)
        except _Lost as lost:
            raise _outcome(lost) from None

    def close(self) -> None:
        """Say QUIT without waiting for the answer, and close."""
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.settimeout(1.0)
                self._sock.sendall(b"QUIT\r\n")
        self._drop()

    # --- one mail ---

    def _transaction(self, content: bytes, sender: str, recipients: Sequence[str]) -> Receipt:
        try:
            return self._converse(content, sender, recipients)
        except outcomes.Outcome:
            raise
        except BaseException:  # lost or interrupted: replies may be outstanding, the next mail must not read them
            self._drop()
            raise

    def _converse(self, content: bytes, sender: str, recipients: Sequence[str]) -> Receipt:
        if self._sock is None:
            self._connect()
        commands = self._envelope(content, sender, recipients)
        mail_reply, *rcpt_replies = self._dialogue(commands, skip=len(commands) - len(recipients) - 2)
        if mail_reply[0] // 100 != 2:
            if rcpt_replies and rcpt_replies[-1][0] == 354:
                self._drop()  # it waits for a message of nobody
            raise classify.smtp_outcome(*mail_reply, stage="mail")
        data_reply = rcpt_replies.pop()
        refused = {
            recipient: reply for recipient, reply in zip(recipients, rcpt_replies, strict=True) if reply[0] // 100 != 2
        }
        none_left = len(refused) == len(recipients)
        if data_reply[0] == 354:
            if not none_left:
                return self._message(content, refused)
            # a server too eager: an empty message ends the transaction (RFC 2920 section 3.1)
            self._write(b".\r\n", self.server.command_seconds)
            self._reply(self.server.command_seconds)
        if none_left:
            raise classify.all_refused(refused)
        raise classify.smtp_outcome(*data_reply, stage="data")

    def _envelope(self, content: bytes, sender: str, recipients: Sequence[str]) -> list[bytes]:
        if self._size and len(content) > self._size:
            raise classify.Refused(f"{len(content)} octets, the server takes {self._size}", code="smtp 552 5.3.4")
        options = f" SIZE={len(content)}" if self._size is not None else ""
        if not content.isascii() or any(map(addresses.needs_smtputf8, (sender, *recipients))):
            if not self._smtputf8:
                raise classify.Refused("an address is not ASCII and the server has no SMTPUTF8", code="no smtputf8")
            options += " BODY=8BITMIME SMTPUTF8"
        commands = [b"RSET\r\n"] if self._dirty else []
        commands.append(f"MAIL FROM:<{sender}>{options}\r\n".encode())
        commands += [f"RCPT TO:<{recipient}>\r\n".encode() for recipient in recipients]
        commands.append(b"DATA\r\n")
        return commands

    def _dialogue(self, commands: list[bytes], *, skip: int) -> list[Reply]:
        """Write the commands, together if the server can take it; the replies without the first `skip` (RSET)."""
        self._dirty = True  # until a message was taken: the next transaction begins with RSET
        step = PIPELINE_MAX if self._pipelining else 1
        replies: list[Reply] = []
        try:
            for start in range(0, len(commands), step):
                batch = commands[start : start + step]
                self._write(b"".join(batch), self.server.command_seconds)
                for _command in batch:
                    code, words = self._reply(self.server.command_seconds)
                    if code == 421:
                        raise _Lost(f"421 {words}", code="smtp 421")
                    replies.append((code, words))
                if step == 1 and len(replies) == skip + 1 and replies[-1][0] // 100 != 2:
                    break  # MAIL was refused; a pipelining server has been told the rest already
        except _Lost as lost:
            lost.before_mail = len(replies) <= skip
            raise
        return replies[skip:]

    def _message(self, content: bytes, refused: dict[str, Reply]) -> Receipt:
        dot = b"." if content.startswith(b".") else b""
        seconds = self.server.after_data_seconds
        wire = b"".join((dot, content.replace(b"\r\n.", b"\r\n.."), b".\r\n"))
        self._write(wire, seconds + len(wire) / SLOWEST_OCTETS_A_SECOND)
        try:
            code, words = self._reply(seconds)
            if not (code // 100 == 2 or 400 <= code < 600):
                raise _Lost(f"{code} {words}", code="garbage")
        except _Lost as lost:
            self._drop()
            raise outcomes.Uncertain(f"{lost.words}, after the message was written", code="reply lost") from None
        self._served += 1
        if code >= 400:
            if code == 421:
                self._drop()
            raise classify.smtp_outcome(code, words, stage="message")
        self._dirty = False
        found = _QUEUED_AS.search(words) or _OK_ID.match(words)
        return Receipt(f"{code} {words}", found.group(1) if found else "", refused)

    # --- the wire ---

    def _write(self, data: bytes, seconds: float) -> None:
        assert self._sock is not None
        try:
            self._sock.settimeout(seconds)
            self._sock.sendall(data)
        except OSError as error:
            raise _lost(error) from None

    def _reply(self, seconds: float) -> Reply:
        """One reply, of one line or several, all of it within `seconds`."""
        deadline = time.monotonic() + seconds
        said: list[bytes] = []
        octets = 0
        while True:
            line = self._line(deadline)
            octets += len(line)
            if not line[:3].isdigit() or octets > REPLY_MAX:
                raise _Lost(f"not SMTP: {line[:80]!r}", code="garbage")
            said.append(line[4:])
            if line[3:4] != b"-":
                return int(line[:3]), b" ".join(said).decode("utf-8", "replace")

    def _line(self, deadline: float) -> bytes:
        assert self._sock is not None
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                return line.rstrip(b"\r")
            if len(self._buffer) > REPLY_MAX:
                raise _Lost("not SMTP: a line without end", code="garbage")
            try:
                self._sock.settimeout(max(deadline - time.monotonic(), 0.001))
                received = self._sock.recv(READ_OCTETS)
            except OSError as error:
                raise _lost(error) from None
            if not received:
                raise _Lost("connection closed by the server", code="connection lost")
            self._buffer += received

    # --- connection ---

    def _connect(self) -> None:
        smtp = smtp_connect.connect(self.server)
        self._smtp, self._sock = smtp, smtp.sock
        self._pipelining, self._smtputf8 = smtp.has_extn("pipelining"), smtp.has_extn("smtputf8")
        size = smtp.esmtp_features.get("size", "")
        self._size = (int(size) if size.isdigit() else 0) if smtp.has_extn("size") else None
        self._served, self._dirty, self._buffer = 0, False, b""

    def _drop(self) -> None:
        smtp, self._smtp, self._sock, self._buffer, self._served = self._smtp, None, None, b"", 0
        if smtp is not None:
            smtp.close()


def _lost(error: OSError) -> _Lost:
    if isinstance(error, TimeoutError):
        return _Lost("no answer in time", code="timeout")
    return _Lost(f"connection lost: {error.strerror or error}", code="connection lost")


def _outcome(lost: _Lost) -> outcomes.Outcome:
    """What a loss before the final dot means on a connection that was this mail's alone."""
    if lost.before_mail and lost.code == "smtp 421":
        return classify.TransportDown(lost.words, code=lost.code)
    return outcomes.Transient(lost.words, code=lost.code)
