"""A real SMTP server in another process that keeps every mail and misbehaves on request.

    with Sink() as sink:                                   # sink.url == "smtp://127.0.0.1:40123"
        sink.set_behaviour("451", times=2)                 # the next two transactions, then "ok" again
        ...
        sink.wait_for(3)                                   # until three mails were accepted; raises TimeoutError
        assert sink.copies() == {"<id@example.com>": 1}

A single recipient (or sender) chooses its own behaviour by the local part before a `+`: `rcpt550+anna@example.com`,
`slow-20+x@example.com`, and `451*2+x@example.com` for "twice, then accept". The words are in smtp_behaviour.py; any
other answer is written as `stage:reply`, e.g. `set_behaviour("message:452 4.3.1 disk full")`. By hand:
`python -m tests.smtp_sink --port 2525` prints one line of JSON with the two ports (SMTP and control).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import collections
import contextlib
import dataclasses
import email
import email.policy
import json
import re
import socket
import ssl
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

from tests.smtp_sink_server import Connection, State

START_SECONDS = 20.0


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """One accepted mail: as it stood on the wire, dots unstuffed."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    content: bytes
    message_id: str
    connection: int
    """Number of the connection it came on, from 1."""
    options: str
    """What followed the address in MAIL FROM (`SIZE=…`, `SMTPUTF8`)."""

    @property
    def parsed(self) -> EmailMessage:
        message = email.message_from_bytes(self.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message


class Sink:
    """The sink's process, as a context manager; `options` are the command line's (`"--no-pipelining"`)."""

    def __init__(self, *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.smtp_sink", "--port", "0", "--parent", *options],
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        ports = json.loads(self._process.stdout.readline())
        self.port: int = ports["smtp"]
        self.host = "127.0.0.1"
        self.url = f"smtp://{self.host}:{self.port}"
        self._control = socket.create_connection((self.host, ports["control"]), timeout=START_SECONDS)
        self._answers = self._control.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._answers.close()
        self._control.close()
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def mails(self) -> list[Received]:
        """All accepted mails, in the order they were accepted."""
        found = self._ask("mails")
        return [
            Received(
                mail_from=each["mail_from"],
                rcpt_to=tuple(each["rcpt_to"]),
                content=base64.b64decode(each["content"]),
                message_id=each["message_id"],
                connection=each["connection"],
                options=each["options"],
            )
            for each in found
        ]

    def copies(self, *, header: str = "message-id") -> dict[str, int]:
        """How often each mail was accepted, by its Message-ID or another header's value."""
        return dict(collections.Counter(self._ask("ids", header=header)))

    def count(self) -> int:
        return int(self._ask("count"))

    def connections(self) -> int:
        """How many connections were ever opened."""
        return int(self._ask("connections"))

    def transcript(self) -> list[str]:
        """The last 5,000 lines: `"<connection> <command>"`; `[read]` starts what came in one read.

        `"<connection> [message of <octets>]"` stands for a message, dots not unstuffed.
        """
        return list(self._ask("transcript"))

    def set_behaviour(self, name: str, *, times: int | None = None) -> None:
        """Behave so in the next `times` transactions (connections, for `connect`), or from now on."""
        self._ask("behave", name=name, times=times)

    def hang_up(self, words: str = "") -> None:
        """Close every connection now, after saying `words` (`"421 4.4.2 idle for too long"`) if there are any."""
        self._ask("hang_up", words=words)

    def wait_for(self, count: int, *, timeout: float = 30.0) -> None:
        """Return when `count` mails were accepted in all; TimeoutError says how many there were."""
        if not self._ask("wait", count=count, timeout=timeout):
            raise TimeoutError(f"{self.count()} of {count} mails after {timeout} s")

    def clear(self) -> None:
        """Forget the mails, the transcript, the counters and the behaviour."""
        self._ask("clear")

    def _ask(self, what: str, **more: Any) -> Any:
        self._control.settimeout(more.get("timeout", 0.0) + START_SECONDS)
        self._control.sendall(json.dumps({"op": what, **more}).encode() + b"\n")
        answer = json.loads(self._answers.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["value"]


def header_value(content: bytes, name: str) -> str:
    """The first value of a header, unfolded; "" without it."""
    head = content.partition(b"\r\n\r\n")[0]
    found = re.search(rb"(?im)^" + re.escape(name.encode()) + rb":[ \t]*((?:.*)(?:\r\n[ \t].*)*)", head)
    return found.group(1).replace(b"\r\n", b"").strip().decode("latin-1") if found else ""


async def answer(state: State, question: dict[str, Any]) -> Any:
    """Do what one line on the control socket asks."""
    match question["op"]:
        case "mails":
            return [
                {**mail, "content": base64.b64encode(mail["content"]).decode(), "message_id": message_id}
                for mail in state.mails
                for message_id in [header_value(mail["content"], "message-id")]
            ]
        case "ids":
            return [header_value(mail["content"], question["header"]) for mail in state.mails]
        case "count":
            return state.accepted
        case "connections":
            return state.connections
        case "transcript":
            return list(state.transcript)
        case "behave":
            return state.behave(question["name"], question["times"])
        case "hang_up":
            return state.hang_up(question["words"])
        case "clear":
            return state.clear()
        case "wait":
            try:
                async with asyncio.timeout(question["timeout"]):
                    await state.reached(question["count"])
            except TimeoutError:
                return False
            return True
        case other:
            raise ValueError(f"no such question: {other}")


async def control(state: State, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            try:
                reply = {"value": await answer(state, json.loads(line))}
            except ValueError as error:
                reply = {"error": str(error)}
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def serve(options: argparse.Namespace) -> None:
    context = None
    if options.cert:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.cert)
    state = State(
        pipelining=not options.no_pipelining,
        size=options.size,
        smtputf8=not options.no_smtputf8,
        auth=options.auth,
        starttls=None if options.implicit_tls else context,
        discard=options.discard,
    )
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(state),
        options.host,
        options.port,
        ssl=context if options.implicit_tls else None,
        backlog=500,
    )
    controller = await asyncio.start_server(lambda r, w: control(state, r, w), options.host, options.control)
    ports = {"smtp": server.sockets[0].getsockname()[1], "control": controller.sockets[0].getsockname()[1]}
    print(json.dumps(ports), flush=True)
    if options.parent:  # end with whoever started us, even when that one was killed -9
        await loop.run_in_executor(None, sys.stdin.read)
    else:
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="smtp_sink", description="An SMTP server for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control", type=int, default=0, help="port of the control socket")
    parser.add_argument("--parent", action="store_true", help="exit when standard input ends")
    parser.add_argument("--no-pipelining", action="store_true")
    parser.add_argument("--no-smtputf8", action="store_true")
    parser.add_argument("--size", type=int, default=50_000_000, help="the SIZE that is advertised and enforced")
    parser.add_argument("--auth", default="", help="user:password that must log in first")
    parser.add_argument("--cert", default="", help="PEM file with key and certificate: offer STARTTLS")
    parser.add_argument("--implicit-tls", action="store_true", help="TLS from the first byte (smtps)")
    parser.add_argument("--discard", action="store_true", help="keep only headers (for long runs)")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
