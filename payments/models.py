"""The tables of the money side. What an order's status means is in `states`; who writes it, in `orders`."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from payments import money
from payments.states import Status


class Product(models.Model):
    """One line of the catalogue: the only place prices come from."""

    sku = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    unit_amount = models.PositiveIntegerField("price")
    """In the currency's smallest unit."""
    currency = models.CharField(max_length=3, validators=[RegexValidator(r"^[a-z]{3}\Z", "Three small letters: eur.")])
    quantity_max = models.PositiveSmallIntegerField("most in one order", default=20)
    active = models.BooleanField("for sale", default=True)

    class Meta:
        ordering = ("sku",)
        constraints = [
            models.CheckConstraint(condition=Q(unit_amount__gt=0), name="product_has_a_price"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({money.show(self.unit_amount, self.currency)})"


class Order(models.Model):
    """What a customer buys at once. Its facts only ever grow; `status` is derived from them (`states.of`)."""

    reference = models.CharField(max_length=20, unique=True)
    """What people and Stripe call it; not to be guessed."""
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="orders", db_index=False
    )
    email = models.CharField(max_length=320, blank=True, default="")
    idempotency_key = models.CharField(max_length=255, null=True)
    content_hash = models.CharField(max_length=64, editable=False)
    lines = models.JSONField()
    """[{"sku", "name", "unit_amount", "quantity"}, …]: what was sold, at the price of that moment."""
    currency = models.CharField(max_length=3)
    amount = models.PositiveIntegerField()

    status = models.CharField(max_length=20, choices=Status, default=Status.PENDING)
    session_id = models.CharField("checkout session", max_length=255, default="", blank=True)
    session_url = models.TextField(default="", blank=True)
    payment_intent = models.CharField(max_length=255, default="", blank=True)
    """The payment that was accepted for it."""
    charge = models.CharField(max_length=255, default="", blank=True)
    amount_paid = models.PositiveIntegerField(default=0)
    amount_refunded = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=500, default="", blank=True)
    """Why the last attempt to pay failed, in Stripe's words."""

    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    processing_at = models.DateTimeField(null=True)
    """The customer finished the checkout by a method that takes days to say whether it pays."""
    paid_at = models.DateTimeField(null=True)
    expired_at = models.DateTimeField(null=True)
    canceled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="order_one_a_key"),
            models.UniqueConstraint(fields=["session_id"], condition=~Q(session_id=""), name="order_one_a_session"),
            models.UniqueConstraint(
                fields=["payment_intent"], condition=~Q(payment_intent=""), name="order_one_a_payment"
            ),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="order_known_status"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="order_has_an_amount"),
            models.CheckConstraint(
                condition=Q(paid_at__isnull=True, amount_paid=0, payment_intent="")
                | Q(paid_at__isnull=False, amount_paid__gt=0) & ~Q(payment_intent=""),
                name="order_paid_by_a_payment",
            ),
        ]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(status=Status.PENDING), name="order_pending"),
            models.Index(fields=["charge"], condition=~Q(charge=""), name="order_charge"),
            models.Index(fields=["status", "-id"], name="order_status"),
        ]
        permissions = [("checkout_order", "Can check out"), ("refund_order", "Can refund orders")]

    def __str__(self) -> str:
        return self.reference

    @property
    def cost(self) -> str:
        """What it costs, for people."""
        return money.show(self.amount, self.currency)


class Refund(models.Model):
    """Money going back: one row for each refund object of Stripe's, or one of ours that Stripe has not seen yet."""

    class State(models.TextChoices):
        REQUESTED = "requested", "Requested"
        """By us; Stripe has not answered yet."""
        PENDING = "pending", "Pending"
        REQUIRES_ACTION = "requires_action", "Waits for the customer"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"
        CANCELED = "canceled", "Canceled"

    stripe_id = models.CharField(max_length=255, null=True, unique=True)
    key = models.UUIDField(null=True, unique=True)
    """Of one that began here; Stripe's object carries it in its metadata."""
    order = models.ForeignKey(Order, null=True, on_delete=models.PROTECT, related_name="refunds")
    payment_intent = models.CharField(max_length=255)
    amount = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=15, choices=State)
    words = models.CharField(max_length=500, default="", blank=True)
    """Why it failed."""
    reason = models.CharField(max_length=500, default="", blank=True)
    """Of the member of staff who wished it."""
    created_at = models.DateTimeField(db_default=Now())
    settled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_has_an_amount"),
            models.CheckConstraint(
                condition=Q(stripe_id__isnull=False) | Q(key__isnull=False), name="refund_from_somewhere"
            ),
        ]
        indexes = [
            models.Index(fields=["payment_intent"], name="refund_payment"),
            models.Index(fields=["created_at"], condition=Q(state="requested"), name="refund_requested"),
        ]

    def __str__(self) -> str:
        return f"{money.show(self.amount, self.currency)} back"


class Dispute(models.Model):
    """A customer's bank takes a payment back, or asks about it. `funds` says where the money is."""

    stripe_id = models.CharField(max_length=255, unique=True)
    order = models.ForeignKey(Order, null=True, on_delete=models.PROTECT, related_name="disputes")
    payment_intent = models.CharField(max_length=255, default="", blank=True)
    charge = models.CharField(max_length=255, default="", blank=True)
    amount = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=30)
    """Stripe's word for it."""
    reason = models.CharField(max_length=100, default="", blank=True)
    evidence_due_at = models.DateTimeField(null=True)
    withdrawn_at = models.DateTimeField(null=True)
    reinstated_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        indexes = [models.Index(fields=["payment_intent"], name="dispute_payment")]

    def __str__(self) -> str:
        return f"{self.stripe_id} ({self.state})"

    @property
    def funds(self) -> str:
        """Where the money is: never taken, taken, or back."""
        if self.reinstated_at:
            return "reinstated"
        return "withdrawn" if self.withdrawn_at else "not withdrawn"


class Problem(models.Model):
    """Money that came or went and fits no rule: staff decide."""

    class Kind(models.TextChoices):
        LATE = "late", "Paid, but not pending any more"
        TWICE = "twice", "Paid a second time"
        MISMATCH = "mismatch", "Paid another amount"
        UNKNOWN = "unknown", "Paid, but no such order"
        REFUND_FAILED = "refund_failed", "Refund failed"

    key = models.CharField(max_length=300, unique=True)
    """One problem for each kind and Stripe object, however often it is reported."""
    kind = models.CharField(max_length=20, choices=Kind)
    order = models.ForeignKey(Order, null=True, on_delete=models.PROTECT, related_name="problems")
    payment_intent = models.CharField(max_length=255, default="", blank=True)
    amount = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    words = models.CharField(max_length=500)
    created_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)
    resolution = models.CharField(max_length=500, default="", blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["-id"], condition=Q(resolved_at__isnull=True), name="problem_open"),
            models.Index(fields=["payment_intent"], name="problem_payment"),
        ]
        permissions = [("resolve_problem", "Can resolve problems")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {money.show(self.amount, self.currency)}"


class StripeRequest(models.Model):
    """Something we ask Stripe to create, so that it is created once: see `requests`."""

    operation = models.CharField(max_length=50)
    subject = models.CharField(max_length=100)
    """What it is for: an order's reference, a refund's key."""
    attempt = models.PositiveSmallIntegerField(default=1)
    """Part of the idempotency key; grows once Stripe has forgotten the key or remembers an error under it."""
    resource = models.CharField(max_length=255, default="", blank=True)
    """The id of what was created."""
    created_at = models.DateTimeField(db_default=Now())
    key_sent_at = models.DateTimeField(null=True)
    """When the present key went out first."""
    last_sent_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    """When it was there: with `created_at`, how long it took."""
    busy_until = models.DateTimeField(null=True)
    """One caller at a time; the others wait for its answer."""
    look_first = models.BooleanField(default=False)
    last_words = models.CharField(max_length=500, default="", blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["operation", "subject"], name="striperequest_once")]
        indexes = [models.Index(fields=["operation", "created_at"], name="striperequest_created")]

    def __str__(self) -> str:
        return self.idempotency_key

    @property
    def idempotency_key(self) -> str:
        """What Stripe deduplicates by."""
        return f"{self.operation}:{self.subject}:{self.attempt}"


class Subscription(models.Model):
    """What Stripe says of a customer's subscription."""

    stripe_id = models.CharField(max_length=255, unique=True)
    customer = models.CharField(max_length=255, default="", blank=True)
    state = models.CharField(max_length=30)
    """Stripe's word for it."""
    cancels_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    told_at = models.DateTimeField()
    """When Stripe made the event that said so."""

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.stripe_id} ({self.state})"


class Invoice(models.Model):
    """A bill of a subscription: paid is final."""

    stripe_id = models.CharField(max_length=255, unique=True)
    customer = models.CharField(max_length=255, default="", blank=True)
    subscription = models.CharField(max_length=255, default="", blank=True)
    number = models.CharField(max_length=100, default="", blank=True)
    amount = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    paid_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    """When paying it failed last."""
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.number or self.stripe_id

    @property
    def state(self) -> str:
        """In one word."""
        return "paid" if self.paid_at else "payment_failed" if self.failed_at else "open"
