"""Spans for whoever traces (`queues.monitor.tracing` installs a tracer); for who does not, one comparison each.

    with spans.span("email.send", kind="client", transport=way.name):
        ...

Names and attributes are ours: queue, item, attempt, transport; never an address, a subject or a payload.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

type Kind = Literal["internal", "server", "client", "producer", "consumer"]
type Attribute = str | int | float | bool


class Tracer(Protocol):
    """What a tracer must do."""

    def span(
        self, name: str, *, kind: Kind, link: str, attributes: dict[str, Attribute]
    ) -> AbstractContextManager[object]:
        """A span while the block runs, a child of the one around it; `link`: the traceparent of what caused it."""
        ...

    def traceparent(self) -> str:
        """The span around the caller as W3C's traceparent, or ""."""
        ...


_tracer: Tracer | None = None


def install(tracer: Tracer | None) -> None:
    """Trace from now on; None: not any more."""
    global _tracer
    _tracer = tracer


def span(
    name: str, *, kind: Kind = "internal", link: str = "", **attributes: Attribute
) -> AbstractContextManager[object]:
    """A span while the block runs, or nothing."""
    if _tracer is None:
        return nullcontext()
    return _tracer.span(name, kind=kind, link=link, attributes=attributes)


def traceparent() -> str:
    """The traceparent of the span around the caller; "" without one."""
    return _tracer.traceparent() if _tracer is not None else ""
