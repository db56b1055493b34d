"""The SMTP side of tests/smtp_sink.py: one asyncio protocol per connection, one State per process."""

from __future__ import annotations

import asyncio
import base64
import collections
import re
import ssl
from typing import Any

from tests.smtp_behaviour import BEHAVIOURS, Behaviour, parse

MAIL_LINE = re.compile(r"(?i)MAIL FROM:\s*<([^>]*)>\s*(.*)")
RCPT_LINE = re.compile(r"(?i)RCPT TO:\s*<([^>]+)>")
END = b"\r\n.\r\n"


class State:
    """Everything that outlives a connection."""

    def __init__(
        self, *, pipelining: bool, size: int, smtputf8: bool, auth: str, starttls: ssl.SSLContext | None, discard: bool
    ) -> None:
        self.pipelining, self.size, self.smtputf8, self.auth = pipelining, size, smtputf8, auth
        self.starttls, self.discard = starttls, discard
        self.open: set[Connection] = set()
        self.clear()

    def clear(self) -> None:
        self.mails: list[dict[str, Any]] = []
        self.connections = self.accepted = 0
        self.transcript: collections.deque[str] = collections.deque(maxlen=5000)
        self.used: collections.Counter[str] = collections.Counter()
        self.behaviour = BEHAVIOURS["ok"]
        self.times_left: int | None = None
        self.waiters: list[tuple[int, asyncio.Event]] = []

    def behave(self, name: str, times: int | None) -> None:
        self.behaviour, self.times_left = parse(name), times

    def take(self) -> Behaviour:
        """The behaviour ordered for this transaction or connection, counted down."""
        if self.times_left is None:
            return self.behaviour
        if self.times_left <= 0:
            return BEHAVIOURS["ok"]
        self.times_left -= 1
        return self.behaviour

    def of_address(self, address: str) -> Behaviour | None:
        """The behaviour an address asks for itself: `451*2+anna@…` twice, then none."""
        local = address.rpartition("@")[0]
        word, plus, _rest = local.partition("+")
        if not plus:
            return None
        name, star, times = word.partition("*")
        try:
            behaviour = parse(name)
        except ValueError:
            return None
        if star:
            self.used[address] += 1
            if self.used[address] > int(times):
                return None
        return behaviour

    def keep(self, mail: dict[str, Any]) -> None:
        if self.discard:
            mail["content"] = mail["content"].partition(b"\r\n\r\n")[0]
        self.mails.append(mail)
        self.accepted += 1
        for count, event in self.waiters:
            if self.accepted >= count:
                event.set()

    def hang_up(self, words: str) -> None:
        """Close every connection, after an unasked-for reply if there is one."""
        for connection in list(self.open):
            if words:
                connection.reply(words)
            connection.hang_up()

    async def reached(self, count: int) -> None:
        if self.accepted < count:
            event = asyncio.Event()
            self.waiters.append((count, event))
            await event.wait()


class Connection(asyncio.Protocol):
    """One client: lines in, replies out; `waiting` holds everything up while a slow reply is due."""

    transport: asyncio.Transport

    def __init__(self, state: State) -> None:
        self.state = state
        self.buffer = bytearray()
        self.waiting = self.in_data = self.upgrading = False
        self.auth_steps = 0
        self.number = 0
        self.out: list[bytes] = []
        self.reset()

    def reset(self) -> None:
        self.behaviour: Behaviour | None = None
        self.mail_from = self.options = ""
        self.started = False
        self.rcpt_to: list[str] = []
        self.scan_from = 0

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.state.open.add(self)
        if self.number:  # after STARTTLS
            return
        self.logged_in = not self.state.auth
        self.state.connections += 1
        self.number = self.state.connections
        if self.state.behaviour.stage == "connect":
            self.behaviour = self.state.take()
            if not self.at("connect"):
                return self.flush()
            self.behaviour = None
        self.reply("220 sink ESMTP")
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.state.open.discard(self)

    def data_received(self, data: bytes) -> None:
        if not self.in_data:
            self.state.transcript.append(f"{self.number} [read]")
        self.buffer += data
        self.advance()

    def advance(self) -> None:
        while not self.waiting and (self.message() if self.in_data else self.line()):
            pass
        self.flush()

    def flush(self) -> None:
        if self.out:
            self.transport.write(b"".join(self.out))
            self.out.clear()

    def reply(self, text: str) -> None:
        self.out.append(text.encode() + b"\r\n")

    def hang_up(self) -> None:
        self.flush()
        self.waiting = True
        self.transport.close()

    def at(self, stage: str) -> bool:
        """Misbehave if the time has come; True if the friendly answer shall follow."""
        chosen = self.behaviour
        if chosen is None or chosen.stage != stage or not (chosen.reply or chosen.then):
            return True
        if chosen.reply:
            self.reply(chosen.reply)
        if chosen.then == "close":
            self.hang_up()
        elif chosen.then == "stall":
            self.waiting = True
        return False

    # --- commands ---

    def line(self) -> bool:
        end = self.buffer.find(b"\r\n")
        if end < 0:
            return False
        line = self.buffer[:end].decode("utf-8", "replace")
        del self.buffer[: end + 2]
        self.state.transcript.append(f"{self.number} {line}")
        if self.auth_steps:
            return self.auth_step(line)
        verb = line[:4].upper()
        if verb in {"EHLO", "HELO"}:
            return self.greet()
        if verb == "QUIT":
            self.reply("221 bye")
            self.hang_up()
        elif verb == "RSET":
            self.reset()
            self.reply("250 OK")
        elif verb == "STAR":
            self.start_tls()
        elif verb == "AUTH":
            return self.auth(line)
        elif not self.logged_in:
            self.reply("530 5.7.0 Authentication required")
        elif verb == "MAIL":
            self.mail(line)
        elif verb == "RCPT":
            self.rcpt(line)
        elif verb == "DATA":
            self.data()
        else:
            self.reply("500 5.5.1 unknown command" if verb != "NOOP" else "250 OK")
        return True

    def greet(self) -> bool:
        features = ["sink", f"SIZE {self.state.size}", "8BITMIME", "ENHANCEDSTATUSCODES"]
        features += ["PIPELINING"] * self.state.pipelining + ["SMTPUTF8"] * self.state.smtputf8
        features += ["AUTH PLAIN LOGIN"] * bool(self.state.auth)
        features += ["STARTTLS"] * (self.state.starttls is not None)
        for feature in features[:-1]:
            self.reply(f"250-{feature}")
        self.reply(f"250 {features[-1]}")
        return True

    def auth(self, line: str) -> bool:
        _verb, mechanism, *initial = line.split()
        self.login_words: list[str] = []
        self.auth_steps = 1 if mechanism.upper() == "PLAIN" else 2
        self.plain = mechanism.upper() == "PLAIN"
        if initial:
            return self.auth_step(initial[0])
        self.reply("334 " if self.plain else "334 VXNlcm5hbWU6")
        return True

    def auth_step(self, line: str) -> bool:
        self.login_words.append(base64.b64decode(line).decode())
        self.auth_steps -= 1
        if self.auth_steps:
            self.reply("334 UGFzc3dvcmQ6")
            return True
        words = self.login_words[0].split("\0")[1:] if self.plain else self.login_words
        self.logged_in = ":".join(words) == self.state.auth
        self.reply("235 2.7.0 welcome" if self.logged_in else "535 5.7.8 bad credentials")
        return True

    def start_tls(self) -> None:
        context = self.state.starttls
        if context is None:
            return self.reply("502 5.5.1 no TLS here")
        self.reply("220 go on")
        self.flush()
        self.waiting = True
        self.upgrade = asyncio.ensure_future(self.finish_tls(context))

    async def finish_tls(self, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(self.transport, self, context, server_side=True)
        except (OSError, ssl.SSLError):
            return
        assert transport is not None
        self.transport = transport
        self.waiting = False
        self.advance()

    def mail(self, line: str) -> None:
        found = MAIL_LINE.match(line)
        if not found:
            return self.reply("501 5.5.4 syntax")
        if self.started:
            return self.reply("503 5.5.1 nested MAIL")
        self.behaviour = self.state.of_address(found.group(1))
        if self.behaviour is None and self.state.behaviour.stage != "connect":
            self.behaviour = self.state.take()
        if not self.at("mail"):
            return
        declared = re.search(r"(?i)SIZE=(\d+)", found.group(2))
        if declared and int(declared.group(1)) > self.state.size:
            return self.reply("552 5.3.4 message too big")
        self.mail_from, self.options, self.started = found.group(1), found.group(2), True
        self.reply("250 2.1.0 OK")

    def rcpt(self, line: str) -> None:
        found = RCPT_LINE.match(line)
        if not found:
            return self.reply("501 5.5.4 syntax")
        if not self.started:
            return self.reply("503 5.5.1 MAIL first")
        chosen = self.state.of_address(found.group(1))
        shared, self.behaviour = self.behaviour, chosen or self.behaviour
        friendly = self.at("rcpt")
        # a recipient's own trouble at RCPT is its alone; at a later stage it is the whole transaction's
        if chosen is not None and chosen.stage == "rcpt":
            self.behaviour = shared
        if friendly:
            self.rcpt_to.append(found.group(1))
            self.reply("250 2.1.5 OK")

    def data(self) -> None:
        if not self.started:
            return self.reply("503 5.5.1 MAIL first")
        eager = self.behaviour is BEHAVIOURS["eager-data"]
        if not eager and not self.at("data"):
            return
        if not self.rcpt_to and not eager:
            return self.reply("554 5.5.1 no valid recipients")
        self.reply("354 go on")
        self.in_data = True
        self.scan_from = 0

    def message(self) -> bool:
        if self.buffer.startswith(b".\r\n"):
            content, taken = b"", 3
        else:
            end = self.buffer.find(END, self.scan_from)
            if end < 0:
                self.scan_from = max(0, len(self.buffer) - len(END))
                return False
            content, taken = bytes(self.buffer[: end + 2]), end + len(END)
        del self.buffer[:taken]
        self.state.transcript.append(f"{self.number} [message of {len(content)}]")
        self.in_data = False
        delay = self.behaviour.delay_ms if self.behaviour else 0
        if delay:
            self.waiting = True
            asyncio.get_running_loop().call_later(delay / 1000, self.finish_late, content)
        else:
            self.finish(content)
        return True

    def finish_late(self, content: bytes) -> None:
        self.waiting = False
        self.finish(content)
        self.advance()

    def finish(self, content: bytes) -> None:
        if content.startswith(b".") or b"\r\n." in content:
            content = (b"\r\n" + content).replace(b"\r\n.", b"\r\n")[2:]
        misbehaves = self.behaviour is not None and self.behaviour.stage == "message"
        friendly = True
        mail: dict[str, Any] = {"mail_from": self.mail_from, "rcpt_to": self.rcpt_to, "content": content}
        mail |= {"options": self.options, "connection": self.number}
        if misbehaves and self.behaviour is not None:
            if self.behaviour.keep:
                self.state.keep(mail)
            friendly = self.at("message")
        if friendly:
            if not self.rcpt_to:
                self.reply("554 5.5.1 no valid recipients")
            elif len(content) > self.state.size:
                self.reply("552 5.3.4 message too big")
            else:
                self.state.keep(mail)
                self.reply(f"250 2.0.0 queued as {self.state.accepted}")
        self.reset()
