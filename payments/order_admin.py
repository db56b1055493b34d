"""Orders at the desk: the list, one order with its history, and its refund."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods, require_safe
from unfold.decorators import display

from payments import faces, history, money, refund_page, refunds
from payments.models import Order
from payments.states import Status
from queues.desk import marks, permissions
from queues.desk.records_admin import RecordAdmin
from queues.desk.selection import ID_MAX


@admin.register(Order)
class OrderAdmin(RecordAdmin):
    """What customers bought."""

    list_display = ("shown", "state", "email", "total", "refunded", "created")
    list_display_links = ("shown",)
    list_filter = ("status",)
    ordering = ("-id",)
    search_fields = ("reference__exact", "payment_intent__exact", "session_id__exact", "charge__exact")
    search_help_text = "Exact reference, or Stripe's id of the payment, session or charge"

    def get_urls(self) -> list[URLPattern]:
        """The page of one order is ours, and there is one more for its refund."""
        wrap = self.admin_site.admin_view
        both = require_http_methods(["GET", "POST"])
        return [
            path("<int:order_id>/change/", wrap(require_safe(self.order_view)), name="payments_order_change"),
            path("<int:order_id>/refund/", wrap(both(self.refund_view)), name="payments_order_refund"),
            *(each for each in super().get_urls() if each.name != "payments_order_change"),
        ]

    def order_view(self, request: HttpRequest, order_id: int) -> HttpResponse:
        """Everything about one order."""
        order, now = self._found(request, order_id), timezone.now()
        payment = refunds.of_order(order)
        refundable = bool(payment.intent and payment.left and order.status != Status.DISPUTED)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Order {order}",
            "now": now,
            "order": order,
            "badge": faces.order(order),
            "lines": [
                (line, money.show(line["unit_amount"] * line["quantity"], order.currency)) for line in order.lines
            ],
            "facts": self._facts(order),
            "events": history.of(order),
            "problems": [each for each in order.problems.all() if not each.resolved_at],
            "may_refund": refundable and permissions.may(request.user, "refund", Order),
        }
        return TemplateResponse(request, "payments/order.html", context)

    def refund_view(self, request: HttpRequest, order_id: int) -> HttpResponse:
        """What would go back; then, with a reason, the refund."""
        if not permissions.may(request.user, "refund", Order):
            raise PermissionDenied
        order = self._found(request, order_id)
        back = reverse("admin:payments_order_change", args=[order.pk])
        return refund_page.view(request, site=self.admin_site, order=order, problem=None, back=back)

    def _found(self, request: HttpRequest, order_id: int) -> Order:
        if not self.has_view_permission(request):
            raise PermissionDenied
        order = Order.objects.filter(pk=order_id).first() if order_id <= ID_MAX else None
        if order is None:
            raise Http404
        return order

    def _facts(self, order: Order) -> list[tuple[str, Any]]:
        now = timezone.now()
        facts = [
            ("Total", order.cost),
            ("Paid", money.show(order.amount_paid, order.currency)),
            ("Gone back", money.show(order.amount_refunded, order.currency)),
            ("Customer", order.email),
            ("Account", str(order.user or "")),
            ("Created", marks.exactly(order.created_at, now=now)),
            ("To be paid until", marks.exactly(order.expires_at, now=now) if order.status == Status.PENDING else ""),
            ("Last failure", order.last_error),
            ("Checkout session", order.session_id),
            ("Payment", order.payment_intent),
            ("Charge", order.charge),
            ("Idempotency key", order.idempotency_key or ""),
        ]
        return [(name, value) for name, value in facts if value]

    @display(description="order")
    def shown(self, row: Order) -> str:
        """Its reference."""
        return row.reference

    @display(description="state")
    def state(self, row: Order) -> SafeString:
        """Where it stands."""
        return faces.order(row)

    @display(description="total")
    def total(self, row: Order) -> SafeString:
        """What it costs."""
        return format_html('<span class="desk-amount">{}</span>', row.cost)

    @display(description="gone back")
    def refunded(self, row: Order) -> SafeString | str:
        """Of what was paid."""
        return money.show(row.amount_refunded, row.currency) if row.amount_refunded else marks.nothing()

    @display(description="created")
    def created(self, row: Order) -> SafeString:
        """Its age."""
        return marks.moment(row.created_at, now=timezone.now())
