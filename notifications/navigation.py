"""Push in the desk's navigation. Read by the settings, so nothing here may touch models when imported."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy


def stopped_lanes(request: HttpRequest) -> str:
    """How many lanes wait for staff; "" for none."""
    from notifications.models import Lane
    from queues.desk import bounded

    if not request.user.has_perm("notifications.view_lane"):
        return ""
    found = bounded.count(Lane.objects.filter(state=Lane.State.STOPPED), cap=99, milliseconds=300)
    return str(found) if found else ""


def _item(title: str, icon: str, model: str, **more: Any) -> dict[str, Any]:
    def may(request: HttpRequest) -> bool:
        return request.user.has_perm(f"notifications.view_{model}")

    link = reverse_lazy(f"admin:notifications_{model}_changelist")
    return {"title": title, "icon": icon, "link": link, "permission": may, **more}


SECTION: dict[str, Any] = {
    "title": "Push",
    "separator": True,
    "items": [
        _item("Pushes", "notifications", "pushdelivery", badge="queues.desk.badges.push"),
        _item("Devices", "devices", "pushdevice"),
        _item("Installations", "install_mobile", "installation"),
        _item("Lanes", "route", "lane", badge="notifications.navigation.stopped_lanes"),
    ],
}
