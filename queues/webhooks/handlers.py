"""What runs for a type of event: the registry that apps fill, and the `Event` that their handlers are given.

    @handlers.on("charge.refunded", "refund.updated", current=True)
    def book(event: handlers.Event, fetched: Any) -> None: ...

A handler is its `apply` (the decorated function: in a transaction, no network) and, where it needs one, its `fetch`
(network, no transaction), whose result `apply` is given. Registering happens on import, from `AppConfig.ready`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

THIN_PREFIX = "v1."
"""Thin events of v1 resources are named so: `v1.charge.refunded` says the same as the snapshot `charge.refunded`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event as a handler sees it. Texts in it are storable: NUL and lone surrogates were replaced."""

    id: str
    """Stripe's id (`evt_…`). Of a thin event that has a snapshot: the snapshot's, so that both are one."""
    type: str
    """Without the `v1.` of thin events."""
    created: datetime
    """Aware, and exact to the second only."""
    data: Mapping[str, Any]
    """The whole event as it came."""
    object: Mapping[str, Any]
    """The object it is about: as embedded, or its current state (`on(..., current=True)`; always for thin events).

    A deleted object that Stripe has no state of is what is known of it, with `"deleted": True`.
    """
    object_id: str
    account: str
    """The connected account it happened in; "" is our own."""
    livemode: bool
    api_version: str
    row_id: int
    behind: bool
    """An event of the same object that is as new or newer was handled before: `created` ties or runs backwards."""
    is_current: bool
    """Whether `object` was taken from Stripe just now."""


Fetch = Callable[[Event], Any]
Apply = Callable[[Event, Any], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """One handler. Its `HandlerRun` rows bear `name` and `version`; a name is for ever."""

    name: str
    types: tuple[str, ...]
    apply: Apply
    fetch: Fetch | None = None
    version: int = 1
    current: bool = False


_handlers: dict[str, Handler] = {}


def on(
    *types: str, name: str = "", fetch: Fetch | None = None, version: int = 1, current: bool = False
) -> Callable[[Apply], Apply]:
    """Register the decorated function for these types; it is returned unchanged.

    `name`: by default the module's last word and the function's: `orders.book_refund`.
    `fetch`: called before the transaction, once an attempt; its result is the second argument of `apply`.
    `version`: raise it when the handler's effect changes; each run notes it.
    `current`: `event.object` is then the object's current state: as embedded when the event is strictly the newest
    of its object, else fetched. Raises ValueError for a second handler of the same name.
    """
    if not types:
        raise ValueError("a handler needs at least one type")

    def register(apply: Apply) -> Apply:
        chosen = name or f"{apply.__module__.rpartition('.')[2]}.{apply.__name__}"
        handler = Handler(name=chosen, types=types, apply=apply, fetch=fetch, version=version, current=current)
        known = _handlers.get(chosen)
        if known is not None and known.apply.__code__ is not apply.__code__:
            raise ValueError(f"two handlers are named {chosen!r}")
        _handlers[chosen] = handler
        return apply

    return register


def plain_type(event_type: str) -> str:
    """The type without the `v1.` of thin events."""
    return event_type.removeprefix(THIN_PREFIX)


def of_type(event_type: str) -> list[Handler]:
    """The handlers of a type, in the order of their registration."""
    return [handler for handler in _handlers.values() if plain_type(event_type) in handler.types]


def all_types() -> list[str]:
    """Every type that has a handler, sorted."""
    return sorted({each for handler in _handlers.values() for each in handler.types})


def forget(name: str) -> None:
    """Take a handler out of the registry (a test's own)."""
    _handlers.pop(name, None)
