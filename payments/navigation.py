"""The money side in the desk's navigation. Read by the settings, so nothing here may touch models when imported."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy


def open_problems(request: HttpRequest) -> str:
    """How many problems wait for staff; "" for none."""
    from payments.models import Problem
    from queues.desk import bounded

    if not request.user.has_perm("payments.view_problem"):
        return ""
    found = bounded.count(Problem.objects.filter(resolved_at__isnull=True), cap=99, milliseconds=300)
    return str(found) if found else ""


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
