"""The fake account: what its objects are, what happens to them, and the events that tell of it.

    session open ── pay ──▶ complete, paid          ── pay_slowly ──▶ complete, unpaid ── arrive | bounce
       │   └── decline (stays open)                 └── expire ──▶ expired
    payment ── refund (part by part) ── fail_refund        ── dispute ── decide(won | lost)

As strict as we could read out of Stripe's documentation: unknown parameters, sums that do not add up and states that do
not permit the act are refused as Stripe refuses them. Objects are plain dicts, as JSON has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from config.demo.stripe import shapes
from config.demo.stripe.shapes import Object

SESSION_OPEN = (30 * 60, 24 * 3600)
"""Seconds a session may be open for, at least and at most (https://docs.stripe.com/api/checkout/sessions/create)."""
SESSION_PARAMETERS = frozenset(
    {"mode", "client_reference_id", "metadata", "payment_intent_data", "line_items", "success_url", "cancel_url"}
    | {"expires_at", "customer_email", "expand"}
)
REFUND_PARAMETERS = frozenset(["payment_intent", "charge", "amount", "reason", "metadata", "expand"])


class ApiError(Exception):
    """What Stripe would answer: an HTTP status and an error object."""

    def __init__(self, status: int, message: str, *, code: str = "", param: str = "", kind: str = "") -> None:
        self.status = status
        self.body = {
            "error": {
                "type": kind or "invalid_request_error",
                "message": message,
                **({"code": code} if code else {}),
                **({"param": param} if param else {}),
            }
        }
        super().__init__(message)


@dataclass
class Account:
    """Everything the fake knows. `clock` gives Unix seconds."""

    clock: Callable[[], float]
    objects: dict[str, Object] = field(default_factory=dict)
    events: list[Object] = field(default_factory=list)
    page_url: str = "http://localhost/pay/"
    """Where its payment pages are."""

    # --- What the API does --------------------------------------------------------------------------------------------

    def create_session(self, given: Mapping[str, Any]) -> Object:
        """POST /v1/checkout/sessions, mode payment with prices given inline."""
        _known(given, SESSION_PARAMETERS)
        if given.get("mode") != "payment":
            raise ApiError(400, "Only mode payment is faked.", param="mode")
        for name in ("success_url", "cancel_url"):
            if not str(given.get(name, "")).startswith(("http://", "https://")):
                raise ApiError(400, "Not a valid URL", code="url_invalid", param=name)
        lines = [self._line(line) for line in _items(given.get("line_items"))]
        if not lines or len({line["currency"] for line in lines}) > 1:
            raise ApiError(400, "line_items: one currency, and at least one line.", param="line_items")
        ends = _whole(given.get("expires_at", self._now() + SESSION_OPEN[1]), "expires_at")
        # A minute of grace: clocks differ.
        if not self._now() + SESSION_OPEN[0] - 60 <= ends <= self._now() + SESSION_OPEN[1] + 60:
            words = "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation."
            raise ApiError(400, words, param="expires_at")
        made = shapes.session(given, lines=lines, ends=ends, page_url=self.page_url, now=self._now())
        return self._keep(made)

    def expire(self, session_id: str) -> Object:
        """POST /v1/checkout/sessions/<id>/expire, and what Stripe does by itself at `expires_at`."""
        session = self._open(session_id)
        session["status"], session["url"] = "expired", None
        self._tell("checkout.session.expired", session)
        return session

    def create_refund(self, given: Mapping[str, Any]) -> Object:
        """POST /v1/refunds."""
        _known(given, REFUND_PARAMETERS)
        charge = self._charge_of(given)
        left = charge["amount"] - charge["amount_refunded"]
        amount = _whole(given.get("amount", left), "amount")
        if charge["disputed"]:
            raise ApiError(400, "This charge has been charged back.", code="charge_disputed")
        if left == 0:
            raise ApiError(400, "The charge has already been refunded.", code="charge_already_refunded")
        if not 0 < amount <= left:
            raise ApiError(400, f"Refund amount is greater than unrefunded amount ({left}).", param="amount")
        refund = self._keep(shapes.refund(given, charge=charge, amount=amount, now=self._now()))
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        self._tell("refund.created", refund)
        self._tell("charge.refunded", charge)
        return refund

    def get(self, object_id: str, kind: str) -> Object:
        """GET of one object."""
        found = self.objects.get(object_id)
        if found is None or found["object"] != kind:
            raise ApiError(404, f"No such {kind}: '{object_id}'", code="resource_missing", param="id")
        return found

    def listed(self, kind: str, given: Mapping[str, Any], filters: tuple[str, ...]) -> Object:
        """GET of a list, newest first, in pages."""
        _known(given, frozenset({*filters, "limit", "starting_after", "ending_before", "created", "expand"}))
        source = self.events if kind == "event" else self.objects.values()
        found = [each for each in reversed(list(source)) if each["object"] == kind]
        found = [each for each in found if all(each.get(name) == given[name] for name in filters if name in given)]
        window = given.get("created") or {}
        found = [
            each for each in found if int(window.get("gte", 0)) <= each["created"] <= int(window.get("lte", 2**40))
        ]
        limit = min(max(_whole(given.get("limit", 10), "limit"), 1), 100)
        page = found[:limit]
        if after := given.get("starting_after"):
            found = found[_place(found, after, "starting_after") + 1 :]
            page = found[:limit]
        elif before := given.get("ending_before"):  # the page that is just newer, and itself newest first
            found = found[: _place(found, before, "ending_before")]
            page = found[-limit:]
        return {"object": "list", "url": f"/v1/{kind}s", "has_more": len(found) > limit, "data": page}

    # --- What the customer, the bank and time do --------------------------------------------------------------------

    def pay(self, session_id: str) -> Object:
        """By a card that works."""
        session = self._complete(session_id, "paid")
        self._arrived(self.objects[session["payment_intent"]])
        self._tell("checkout.session.completed", session)
        return session

    def pay_slowly(self, session_id: str) -> Object:
        """By a method that takes days to say whether it pays."""
        session = self._complete(session_id, "unpaid")
        self._tell("checkout.session.completed", session)
        return session

    def arrive(self, session_id: str) -> Object:
        """The slow money comes."""
        session = self.get(session_id, "checkout.session")
        session["payment_status"] = "paid"
        self._arrived(self.objects[session["payment_intent"]])
        self._tell("checkout.session.async_payment_succeeded", session)
        return session

    def bounce(self, session_id: str) -> Object:
        """The slow money does not come."""
        session = self.get(session_id, "checkout.session")
        intent = self.objects[session["payment_intent"]]
        self._failed(intent, "The bank account could not be debited.")
        self._tell("checkout.session.async_payment_failed", session)
        return session

    def decline(self, session_id: str) -> Object:
        """The card does not work; the customer may try another."""
        session = self._open(session_id)
        if session["payment_intent"] is None:
            session["payment_intent"] = self._intent(session)["id"]
        self._failed(self.objects[session["payment_intent"]], "Your card was declined.")
        return session

    def fail_refund(self, refund_id: str) -> Object:
        """The customer's bank sends the money back to us."""
        refund = self.get(refund_id, "refund")
        charge = self.objects[refund["charge"]]
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
        refund |= {"status": "failed", "failure_reason": "lost_or_stolen_card"}
        self._tell("refund.failed", refund)
        self._tell("refund.updated", refund)
        return refund

    def dispute(self, intent_id: str) -> Object:
        """The customer's bank takes the money back."""
        charge = self._charge_of({"payment_intent": intent_id})
        if charge["disputed"]:
            raise ApiError(400, "It is disputed already.")
        charge["disputed"] = True
        dispute = self._keep(shapes.dispute(charge, now=self._now()))
        self._tell("charge.dispute.created", dispute)
        self._tell("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def decide(self, dispute_id: str, *, won: bool) -> Object:
        """The bank decides."""
        dispute = self.get(dispute_id, "dispute")
        dispute["status"] = "under_review"
        self._tell("charge.dispute.updated", dispute)
        dispute["status"] = "won" if won else "lost"
        self._tell("charge.dispute.closed", dispute)
        if won:
            self._tell("charge.dispute.funds_reinstated", dispute)
        return dispute

    # -----------------------------------------------------------------------------------------------------------------

    def _line(self, given: Mapping[str, Any]) -> Object:
        price = given.get("price_data") or {}
        name = (price.get("product_data") or {}).get("name")
        if not name or not price.get("currency"):
            raise ApiError(400, "Missing required param: price_data.", param="line_items")
        quantity, each = _whole(given.get("quantity"), "quantity"), _whole(price.get("unit_amount"), "unit_amount")
        return {"name": name, "quantity": quantity, "amount": quantity * each, "currency": price["currency"]}

    def _open(self, session_id: str) -> Object:
        session = self.get(session_id, "checkout.session")
        if session["status"] != "open":
            raise ApiError(400, f"This Session is not open: it is {session['status']}.")
        return session

    def _complete(self, session_id: str, paid: str) -> Object:
        session = self._open(session_id)
        if session["payment_intent"] is None:
            session["payment_intent"] = self._intent(session)["id"]
        session |= {"status": "complete", "payment_status": paid, "url": None}
        session["customer_details"] = {"email": session["customer_email"] or "guest@example.com"}
        return session

    def _intent(self, session: Object) -> Object:
        return self._keep(shapes.intent(session, now=self._now()))

    def _arrived(self, intent: Object) -> None:
        charge = self._keep(shapes.charge(intent, now=self._now()))
        intent |= {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge["id"]}
        intent["last_payment_error"] = None
        self._tell("payment_intent.succeeded", intent)

    def _failed(self, intent: Object, words: str) -> None:
        intent["last_payment_error"] = {"type": "card_error", "code": "card_declined", "message": words}
        self._tell("payment_intent.payment_failed", intent)

    def _charge_of(self, given: Mapping[str, Any]) -> Object:
        if intent_id := given.get("payment_intent"):
            charge_id = self.get(str(intent_id), "payment_intent")["latest_charge"]
            if charge_id is None:
                raise ApiError(400, "This PaymentIntent does not have a successful charge.", param="payment_intent")
            return self.objects[charge_id]
        return self.get(str(given.get("charge")), "charge")

    def _keep(self, made: Object) -> Object:
        self.objects[made["id"]] = made
        return made

    def _tell(self, kind: str, about: Object) -> None:
        self.events.append(shapes.event(kind, about, now=self._now()))

    def _now(self) -> int:
        return int(self.clock())


def _known(given: Mapping[str, Any], known: frozenset[str]) -> None:
    for name in given:
        if name not in known:
            raise ApiError(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


def _items(value: Any) -> list[Any]:
    return [value[key] for key in sorted(value, key=int)] if isinstance(value, Mapping) else list(value or [])


def _place(found: list[Object], object_id: str, name: str) -> int:
    for place, each in enumerate(found):
        if each["id"] == object_id:
            return place
    raise ApiError(400, f"No such object: '{object_id}'", code="resource_missing", param=name)


def _whole(value: Any, name: str) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise ApiError(400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name) from None
