"""The money side in the desk's navigation. Read by the settings, so nothing here may touch models when imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.urls import reverse, reverse_lazy

if TYPE_CHECKING:
    from queues.desk.bounded import Count
    from queues.desk.concerns import Concern


def open_problems(request: HttpRequest) -> str:
    """How many problems wait for staff; "" for none."""
    found = _open(request)
    return str(found) if found else ""


def concern(request: HttpRequest) -> Concern | None:
    """The same for the start page."""
    from queues.desk.concerns import Concern

    found = _open(request)
    if not found:
        return None
    one = found.number == 1
    return Concern(
        count=found,
        noun="problem with a payment" if one else "problems with payments",
        words="Money came or went and fits no rule: refund it, or say that it is settled.",
        url=reverse("admin:payments_problem_changelist") + "?state=open",
    )


def _open(request: HttpRequest) -> Count | None:
    """Asked once a request; None where the account may not see them."""
    from payments.models import Problem
    from queues.desk import bounded

    if not request.user.has_perm("payments.view_problem"):
        return None
    if not hasattr(request, "open_problems"):
        rows = Problem.objects.filter(resolved_at__isnull=True)
        request.open_problems = bounded.count(rows, cap=99, milliseconds=300)  # type: ignore[attr-defined]
    found: Count = request.open_problems  # type: ignore[attr-defined]
    return found


def _item(title: str, icon: str, model: str, **more: Any) -> dict[str, Any]:
    def may(request: HttpRequest) -> bool:
        return request.user.has_perm(f"payments.view_{model}")

    link = reverse_lazy(f"admin:payments_{model}_changelist")
    return {"title": title, "icon": icon, "link": link, "permission": may, **more}


SECTION: dict[str, Any] = {
    "title": "Payments",
    "separator": True,
    "items": [
        _item("Orders", "receipt_long", "order"),
        _item("Problems", "report_problem", "problem", badge="payments.navigation.open_problems"),
        _item("Refunds", "undo", "refund"),
        _item("Disputes", "gavel", "dispute"),
        _item("Catalogue", "sell", "product"),
        _item("Subscriptions", "autorenew", "subscription"),
        _item("Invoices", "request_quote", "invoice"),
    ],
}
