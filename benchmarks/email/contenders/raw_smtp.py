"""The fastest SMTP client this machine allows from one Python thread: pipelined, several connections, no checks."""

from __future__ import annotations

import collections
import dataclasses
import re
import selectors
import socket
from collections.abc import Iterable

_BARE_NEWLINE = re.compile(rb"\r?\n")


@dataclasses.dataclass(frozen=True)
class Mail:
    """A message with its recipient; `key` says which row it is."""

    key: int
    to: str
    message: bytes


class Pipelined:
    """Sends mails over `connections` kept connections at once."""

    def __init__(self, *, port: int, connections: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._channels = [_Channel(port) for _ in range(connections)]
        for channel in self._channels:
            self._selector.register(channel.socket, selectors.EVENT_READ, channel)

    def send(self, mails: Iterable[Mail]) -> list[int]:
        """Return the keys of the mails in the order in which the server took them."""
        waiting = collections.deque(mails)
        wanted, taken = len(waiting), list[int]()
        for channel in self._channels:
            if waiting:
                channel.begin(waiting.popleft())
        while len(taken) < wanted:
            for ready, _ in self._selector.select():
                taken += ready.data.advance(waiting)
        return taken


class _Channel:
    """One connection; `_expected` is the replies that are still to come, in order."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = self.socket.makefile("rb")
        self._lines.readline()
        self.socket.sendall(b"EHLO bench\r\n")
        while self._lines.readline()[3:4] == b"-":
            pass
        self._input = b""
        self._expected = collections.deque[str]()
        self._mails = collections.deque[Mail]()

    def begin(self, mail: Mail) -> None:
        self.socket.sendall(self._envelope(mail))

    def advance(self, waiting: collections.deque[Mail]) -> Iterable[int]:
        """Read what came; send the message when asked for it, with the next envelope behind it."""
        received = self.socket.recv(65536)
        if not received:
            raise ConnectionError("The server closed the connection.")
        *lines, self._input = (self._input + received).split(b"\r\n")
        for line in lines:
            if line[:1] not in b"23":
                raise ConnectionError(line.decode())
            step = self._expected.popleft()
            if step == "data":
                message = _BARE_NEWLINE.sub(b"\r\n", self._mails[0].message) + b".\r\n"
                self._expected.append("message")
                if waiting:
                    message += self._envelope(waiting.popleft())
                self.socket.sendall(message)
            elif step == "message":
                yield self._mails.popleft().key

    def _envelope(self, mail: Mail) -> bytes:
        self._mails.append(mail)
        self._expected.extend(("from", "to", "data"))
        return b"MAIL FROM:<shop@example.com>\r\nRCPT TO:<%s>\r\nDATA\r\n" % mail.to.encode()
