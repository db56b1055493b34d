"""The mail catcher: an SMTP server on loopback that keeps what it gets and misbehaves when its page tells it to.

Run as `python -m config.demo.catcher --port 8001 --var var`; stops on SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from email import message_from_bytes, policy
from email.errors import MessageError
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from config.demo.mailbox import Mailbox, now

SLOW = 10.0
"""Seconds until the answer in mode `slow`."""
SIZE_MAX = 40 * 1024 * 1024
BUSY = "451 4.3.2 The catcher was told to refuse for now"
UNKNOWN = "550 5.1.1 The catcher was told to refuse for good"
TAKEN = "250 2.0.0 Caught"


class Handler:
    """Does with each mail what the mode says; the mode is read anew for every command that it bears on."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Hang up here in mode `drop`."""
        if self.mailbox.state().mode == "drop":
            self.mailbox.turn_away()
            hang_up(server)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Refuse here in the modes that refuse."""
        refusal = {"refuse_now": BUSY, "refuse_always": UNKNOWN}.get(self.mailbox.state().mode)
        if refusal:
            self.mailbox.turn_away()
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep the mail; in mode `drop_after_data` hang up instead of saying so."""
        mode = self.mailbox.state().mode
        if mode == "slow":
            await asyncio.sleep(SLOW)
        raw = envelope.original_content or b""
        answered = mode != "drop_after_data"
        self.mailbox.keep(
            sender=envelope.mail_from or "",
            recipients=envelope.rcpt_tos,
            subject=subject(raw),
            raw=raw,
            answered=answered,
            now=now(),
        )
        if not answered:
            hang_up(server)
        return TAKEN


def hang_up(server: SMTP) -> None:
    """Cut the connection, as a crashing server does: no answer, no goodbye."""
    if isinstance(server.transport, asyncio.Transport):
        server.transport.abort()


def subject(raw: bytes) -> str:
    """Return the decoded subject, whatever the bytes are."""
    try:
        return str(message_from_bytes(raw, policy=policy.default).get("Subject", ""))[:500]
    except (
        MessageError,
        ValueError,
        LookupError,
        AttributeError,
        IndexError,
    ):  # the parser's answers to hostile headers
        return "(unreadable)"


async def serve(*, host: str, port: int, mailbox: Mailbox) -> None:
    """Listen until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    handler = Handler(mailbox)

    def connection() -> SMTP:
        return SMTP(handler, hostname="catcher.localhost", data_size_limit=SIZE_MAX, enable_SMTPUTF8=True)

    server = await loop.create_server(connection, host, port, backlog=200)
    print(f"the mail catcher listens on {host}:{port}", flush=True)
    await stopped.wait()
    server.close()


def main() -> int:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--var", type=Path, required=True, help="the folder that holds catcher/")
    options = parser.parse_args()
    try:
        asyncio.run(serve(host=options.host, port=options.port, mailbox=Mailbox(mailbox_file(options.var))))
    except OSError as error:
        print(f"the mail catcher cannot listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def mailbox_file(var: Path) -> Path:
    """Return the mailbox's file below var/."""
    return var / "catcher" / "mail.sqlite3"


if __name__ == "__main__":
    sys.exit(main())
