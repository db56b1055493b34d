"""A door before PostgreSQL that can be shut: it then refuses, or takes calls and says nothing."""

from __future__ import annotations

import select
import socket
import threading


class Door:
    """Forwards connections to the server while it is open."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.mode = "open"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._ended = threading.Event()
        self._lines: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def silent(self) -> None:
        """From now on nothing passes, and nobody is told."""
        self.mode = "silent"

    def open(self) -> None:
        """As before; what was said meanwhile is lost."""
        self.mode = "open"

    def close(self) -> None:
        """End everything."""
        self._ended.set()
        for line in [self.listener, *self._lines]:
            line.close()

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                caller, _address = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.target)
            self._lines += [caller, server]
            threading.Thread(target=self._carry, args=(caller, server), daemon=True).start()

    def _carry(self, caller: socket.socket, server: socket.socket) -> None:
        while not self._ended.is_set():
            try:
                ready, _, _ = select.select([caller, server], [], [], 0.05)
                for line in ready:
                    data = line.recv(65536)
                    if not data:
                        caller.close()
                        server.close()
                        return
                    if self.mode == "open":
                        (server if line is caller else caller).sendall(data)
            except (OSError, ValueError):
                return
