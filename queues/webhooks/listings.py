"""Stripe's lists of events: which there are, and their pages.

    v1   `/v1/events`: snapshot events of one account, newest first; from an event on, what is newer
    v2   `/v2/core/events`: thin events of one account, newest first; from a time on

Both go back 30 days. Connected accounts have lists of their own (https://docs.stripe.com/api/connected-accounts); they
are read where the setting STRIPE_SWEEP_CONNECTED says so, since not every platform wants its accounts' events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings

from queues.webhooks import stripe_api

V1, V2 = "/v1/events", "/v2/core/events"
PAGE = 100

type Page = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One list: of `path`, of our own account or of a connected one."""

    path: str = V1
    account: str = ""

    @property
    def thin(self) -> bool:
        """Whether it is one of thin events."""
        return self.path == V2

    @property
    def name(self) -> str:
        """What cursors and counts are kept under: `v1`, `v2 acct_1`."""
        return f"{'v2' if self.thin else 'v1'} {self.account}".strip()

    def all_pages(self, since: datetime) -> Iterator[Page]:
        """What happened since then, newest first."""
        if self.thin:
            yield from self._thin_pages(since)
            return
        params: dict[str, Any] = {"limit": PAGE, "created[gte]": int(since.timestamp())}
        while True:
            answer = stripe_api.get(V1, params=params, account=self.account)
            events = self._events(answer)
            if events:
                yield events
            if not answer.get("has_more") or not events:
                return
            params["starting_after"] = events[-1]["id"]

    def newer_page(self, event_id: str) -> tuple[Page, bool]:
        """The page that is just newer than that event (of a v1 list), newest first, and whether there are more."""
        answer = stripe_api.get(V1, params={"limit": PAGE, "ending_before": event_id}, account=self.account)
        return self._events(answer), bool(answer.get("has_more"))

    def _thin_pages(self, since: datetime) -> Iterator[Page]:
        moment = since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        params: dict[str, Any] = {"limit": PAGE, "created[gte]": moment}
        while True:
            answer = stripe_api.get(V2, params=params, context=self.account)
            events = self._events(answer)
            if events:
                yield events
            following = urlsplit(str(answer.get("next_page_url") or ""))
            if not following.query or not events:
                return
            params = dict(parse_qsl(following.query))

    def _events(self, answer: dict[str, Any]) -> Page:
        """An event of a connected account's list is told apart like one that was delivered."""
        data = answer.get("data")
        events = [event for event in data if isinstance(event, dict)] if isinstance(data, list) else []
        mark = "context" if self.thin else "account"
        return [event | {mark: event.get(mark) or self.account} for event in events] if self.account else events


def every() -> Iterator[Listing]:
    """Our own account's, and its connected accounts' if they are wanted. Raises the outcomes of `stripe_api`."""
    yield from (Listing(), Listing(path=V2))
    if settings.STRIPE_SWEEP_CONNECTED:
        for account in _connected():
            yield from (Listing(account=account), Listing(path=V2, account=account))


def _connected() -> Iterator[str]:
    params: dict[str, Any] = {"limit": PAGE}
    while True:
        answer = stripe_api.get("/v1/accounts", params=params)
        accounts = [str(account["id"]) for account in answer.get("data", [])]
        yield from accounts
        if not answer.get("has_more") or not accounts:
            return
        params["starting_after"] = accounts[-1]
