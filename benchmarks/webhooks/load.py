"""The load: as fast as it is answered on some connections, or a set number a second, whatever is answered."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Answers:
    """How many were accepted, and each answer's milliseconds; `refused` by status (0: the connection broke)."""

    accepted: int = 0
    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    refused: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, status: int, milliseconds: float) -> None:
        """Count one."""
        with self._lock:
            self.milliseconds.append(milliseconds)
            if status == 200:
                self.accepted += 1
            else:
                self.refused[status] = self.refused.get(status, 0) + 1

    def percentile(self, share: float) -> float:
        """Of the milliseconds."""
        ordered = sorted(self.milliseconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


class Connection:
    """One kept connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sock: socket.socket | None = None

    def send(self, request: bytes) -> int:
        """Deliver; returns the status."""
        try:
            if self.sock is None:
                self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=60)
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock.sendall(request)
            return self._status()
        except OSError:
            self.close()
            return 0

    def close(self) -> None:
        """Close it."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def _status(self) -> int:
        assert self.sock is not None
        data = b""
        while b"\r\n\r\n" not in data:
            part = self.sock.recv(65_536)
            if not part:
                raise OSError("closed")
            data += part
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length:")), 0)
        while len(rest) < length:
            rest += self.sock.recv(65_536)
        if "connection: close" in lines:
            self.close()
        return int(lines[0].split()[1])


def closed(port: int, requests: Sequence[bytes], *, connections: int) -> Answers:
    """All of them, each connection sending its next as soon as it was answered."""
    answers = Answers()
    shares = [requests[start::connections] for start in range(connections)]
    barrier = threading.Barrier(connections + 1)

    def work(share: Sequence[bytes]) -> None:
        connection = Connection(port)
        barrier.wait()
        for request in share:
            begun = time.perf_counter()
            answers.add(connection.send(request), (time.perf_counter() - begun) * 1000)
        connection.close()

    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    barrier.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    answers.seconds = time.perf_counter() - begun
    return answers


def steady(port: int, requests: Sequence[bytes], *, per_second: float, connections: int = 8) -> Answers:
    """So many a second, by the clock: who answers late does not slow the next; a late start counts as its delay."""
    answers = Answers()
    free = [Connection(port) for _ in range(connections)]
    lock, threads = threading.Lock(), []
    begun = time.perf_counter()

    def work(request: bytes, due: float) -> None:
        with lock:
            connection = free.pop() if free else Connection(port)
        answers.add(connection.send(request), (time.perf_counter() - due) * 1000)
        with lock:
            free.append(connection)

    for place, request in enumerate(requests):
        due = begun + place / per_second
        time.sleep(max(0.0, due - time.perf_counter()))
        threads.append(threading.Thread(target=work, args=(request, due)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    answers.seconds = time.perf_counter() - begun
    for connection in free:
        connection.close()
    return answers
