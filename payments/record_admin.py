"""Refunds, disputes, subscriptions and invoices at the desk: only looked at."""

from __future__ import annotations

from django.contrib import admin
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import display

from payments import faces, money
from payments.models import Dispute, Invoice, Refund, Subscription
from queues.desk import marks
from queues.desk.records_admin import RecordAdmin


@admin.register(Refund)
class RefundAdmin(RecordAdmin):
    """Money that goes back."""

    list_display = ("stripe_name", "badge", "amount_shown", "order", "reason", "created")
    fields = (
        "stripe_name",
        "badge",
        "amount_shown",
        "order",
        "payment_intent",
        "reason",
        "words",
        "created",
        "settled",
    )
    readonly_fields = fields
    list_filter = ("state",)
    ordering = ("-id",)
    list_select_related = ("order",)
    search_fields = ("stripe_id__exact", "payment_intent__exact", "order__reference__exact")
    search_help_text = "Exact reference of the order, or Stripe's id of the refund or payment"

    @display(description="refund")
    def stripe_name(self, row: Refund) -> str:
        """Stripe's id, once it has one."""
        return row.stripe_id or f"our {row.key}"

    @display(description="state")
    def badge(self, row: Refund) -> SafeString:
        """How far it has come."""
        return faces.refund(row)

    @display(description="amount")
    def amount_shown(self, row: Refund) -> str:
        """With its currency."""
        return money.show(row.amount, row.currency)

    @display(description="created")
    def created(self, row: Refund) -> SafeString:
        """When it was wished, or told."""
        return marks.moment(row.created_at, now=timezone.now())

    @display(description="settled")
    def settled(self, row: Refund) -> SafeString:
        """When it had succeeded."""
        return marks.moment(row.settled_at, now=timezone.now())


@admin.register(Dispute)
class DisputeAdmin(RecordAdmin):
    """Payments that a bank takes back."""

    list_display = ("stripe_id", "badge", "amount_shown", "funds_shown", "order", "reason", "due", "created")
    fields = (*list_display, "payment_intent", "charge", "withdrawn_at", "reinstated_at", "closed_at")
    readonly_fields = fields
    list_filter = ("state",)
    ordering = ("-id",)
    list_select_related = ("order",)
    search_fields = ("stripe_id__exact", "payment_intent__exact", "order__reference__exact")
    search_help_text = "Exact reference of the order, or Stripe's id of the dispute or payment"

    @display(description="state")
    def badge(self, row: Dispute) -> SafeString:
        """Who has won, if anybody."""
        return faces.dispute(row)

    @display(description="amount")
    def amount_shown(self, row: Dispute) -> str:
        """With its currency."""
        return money.show(row.amount, row.currency)

    @display(description="funds")
    def funds_shown(self, row: Dispute) -> str:
        """Where the money is."""
        return row.funds.capitalize()

    @display(description="evidence due")
    def due(self, row: Dispute) -> SafeString:
        """Until when Stripe takes our evidence."""
        return marks.moment(row.evidence_due_at, now=timezone.now())

    @display(description="created")
    def created(self, row: Dispute) -> SafeString:
        """When the bank began it."""
        return marks.moment(row.created_at, now=timezone.now())


@admin.register(Subscription)
class SubscriptionAdmin(RecordAdmin):
    """What Stripe says of subscriptions."""

    list_display = ("stripe_id", "state", "customer", "cancels_at", "ended_at", "told_at")
    fields = list_display
    readonly_fields = fields
    list_filter = ("state",)
    ordering = ("-id",)
    search_fields = ("stripe_id__exact", "customer__exact")
    search_help_text = "Stripe's exact id of the subscription or customer"


@admin.register(Invoice)
class InvoiceAdmin(RecordAdmin):
    """Bills of subscriptions."""

    list_display = ("stripe_id", "badge", "number", "amount_shown", "customer", "attempts", "paid_at", "failed_at")
    fields = (*list_display, "subscription")
    readonly_fields = fields
    ordering = ("-id",)
    search_fields = ("stripe_id__exact", "customer__exact", "number__exact")
    search_help_text = "Exact number, or Stripe's id of the invoice or customer"

    @display(description="state")
    def badge(self, row: Invoice) -> SafeString:
        """Whether it was paid."""
        shape = {"paid": "good", "payment_failed": "bad"}.get(row.state, "pending")
        return marks.badge(shape, row.state.replace("_", " ").capitalize())

    @display(description="amount")
    def amount_shown(self, row: Invoice) -> str:
        """With its currency."""
        return money.show(row.amount, row.currency)
