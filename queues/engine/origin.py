"""Where an item comes from: the request that enqueued it, and its trace, kept on the row for whoever works on it.

`origin` is `<request id> <traceparent>`, either may be missing; NULL for what no request caused.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from queues.engine import spans

ORIGIN_MAX = 130
"""A request id of 64 characters, a space, and W3C's traceparent of 55."""
TRACEPARENT = 55


@dataclass(frozen=True, slots=True)
class Origin:
    """Both parts, "" for what is missing."""

    request_id: str = ""
    traceparent: str = ""


def current() -> str | None:
    """Of what is being enqueued by this thread now. Inside a handler: the origin of the item it works on."""
    request_id = str(structlog.contextvars.get_contextvars().get("request_id") or "")
    trace = spans.traceparent()
    said = f"{request_id} {trace}" if trace else request_id
    return said if said and len(said) <= ORIGIN_MAX else None


def read(said: str | None) -> Origin:
    """The parts of a row's origin."""
    if not said:
        return Origin()
    request_id, _, trace = said.partition(" ")
    return Origin(request_id, trace if len(trace) == TRACEPARENT else "")
