"""What happened to an order, newest first, for its page."""

from __future__ import annotations

from payments import faces, money, refunds, states
from payments.models import Order
from queues.desk import ledger
from queues.desk.timeline import Event


def of(order: Order) -> list[Event]:
    """Its own facts, refunds, disputes, problems, and what staff did."""
    events = [Event(at=order.created_at, shape="note", title="Ordered", facts=(order.cost,))]
    for shape, title, at in (
        ("pending", "Waits for a slow payment", order.processing_at),
        ("good", "Paid", order.paid_at),
        ("cancelled", "Expired", order.expired_at),
        ("cancelled", "Canceled", order.canceled_at),
    ):
        if at:
            words = order.last_error if title == "Canceled" else ""
            events.append(Event(at=at, shape=shape, title=title, words=words))
    for refund in order.refunds.all():
        title = f"Refund {refund.get_state_display().lower()}"
        facts = (money.show(refund.amount, refund.currency), refund.stripe_id or "not at Stripe yet")
        shape = faces.REFUND.get(refund.state, "pending")
        events.append(Event(at=refund.created_at, shape=shape, title=title, words=refund.words, facts=facts))
    for dispute in order.disputes.all():
        state = dispute.state.replace("_", " ")
        shape = "good" if dispute.state in states.THAWED else "paused"
        told = (money.show(dispute.amount, dispute.currency), f"funds {dispute.funds}", dispute.stripe_id)
        events.append(Event(at=dispute.created_at, shape=shape, title=f"Dispute: {state}", facts=told))
    for problem in order.problems.all():
        title = str(problem.get_kind_display())
        events.append(Event(at=problem.created_at, shape="warning", title=title, words=problem.words))
    for entry in ledger.of_item(queue=refunds.QUEUE, item_id=order.pk):
        title = f"{entry.act.replace('_', ' ').capitalize()} by {entry.actor_name}"
        events.append(Event(at=entry.at, shape="person", title=title, words=entry.reason, facts=(entry.plan,)))
    return sorted(events, key=lambda event: event.at or order.created_at, reverse=True)
