"""Analytics in the desk's navigation. Read by the settings, so nothing here may touch models when imported."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy


def _item(title: str, icon: str, model: str) -> dict[str, Any]:
    def may(request: HttpRequest) -> bool:
        return request.user.has_perm(f"analytics.view_{model}")

    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:analytics_{model}_changelist"),
        "permission": may,
    }


SECTION: dict[str, Any] = {
    "title": "Analytics",
    "separator": True,
    "items": [
        _item("Campaigns", "campaign", "campaign"),
        _item("Service levels", "monitoring", "querystat"),
        _item("Refreshing", "sync", "refreshstate"),
        _item("Failure drill", "fire_extinguisher", "drill"),
    ],
}
