"""How the desk draws the states of the money side: a word, a shape and a colour for each."""

from __future__ import annotations

from django.utils.safestring import SafeString

from payments import states
from payments.models import Dispute, Order, Problem, Refund
from payments.states import Status
from queues.desk import marks

ORDER = {
    Status.PENDING: "pending",
    Status.PAID: "good",
    Status.PARTIALLY_REFUNDED: "retrying",
    Status.REFUNDED: "purged",
    Status.DISPUTED: "paused",
    Status.CANCELED: "cancelled",
    Status.EXPIRED: "cancelled",
}
REFUND = {"succeeded": "good", "failed": "bad", "canceled": "cancelled", "requires_action": "warning"}
DISPUTE = {"lost": "bad"}


def order(row: Order) -> SafeString:
    """Where the order stands."""
    return marks.badge(ORDER[Status(row.status)], row.get_status_display())


def refund(row: Refund) -> SafeString:
    """How far the money has come."""
    return marks.badge(REFUND.get(row.state, "pending"), row.get_state_display())


def dispute(row: Dispute) -> SafeString:
    """Who has won, or that nobody has yet."""
    shape = "good" if row.state in states.THAWED else DISPUTE.get(row.state, "warning")
    return marks.badge(shape, row.state.replace("_", " ").capitalize())


def problem(row: Problem) -> SafeString:
    """Whether somebody has to act."""
    return marks.badge("good", "Resolved") if row.resolved_at else marks.badge("warning", "Open")
