"""The desk's frame: Unfold's settings, with the navigation, the colours and our own style sheet and modules.

Read by the settings, so nothing here may touch models when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _may(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


def _item(title: str, icon: str, link: str, permission: str, **more: Any) -> dict[str, Any]:
    # Lazy: the addresses are not known yet while settings are read.
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{link}"), "permission": _may(permission), **more}


def _page(title: str, icon: str, name: str) -> dict[str, Any]:
    link = reverse_lazy(f"monitor:{name}")
    return {"title": title, "icon": icon, "link": link, "permission": _may("queues.watch_slominute")}


NAVIGATION: list[dict[str, Any]] = [
    {
        "title": "",
        "items": [
            {"title": "Overview", "icon": "space_dashboard", "link": reverse_lazy("admin:index")},
        ],
    },
    {
        "title": "Queues",
        "separator": True,
        "items": [
            _item(
                "E-mail",
                "mail",
                "queues_emailmessage_changelist",
                "queues.view_emailmessage",
                badge="queues.desk.badges.email",
            ),
            _item(
                "Webhooks",
                "webhook",
                "queues_webhookevent_changelist",
                "queues.view_webhookevent",
                badge="queues.desk.badges.webhook",
            ),
            _item("Failure groups", "bug_report", "queues_failuregroup_changelist", "queues.view_failuregroup"),
            _item("Operations", "checklist", "queues_operation_changelist", "queues.view_operation"),
            _item("Pauses", "pause_circle", "queues_pause_changelist", "queues.view_pause"),
            _item("Suppressions", "do_not_disturb_on", "queues_suppression_changelist", "queues.view_suppression"),
        ],
    },
    {
        "title": "Measures",
        "separator": True,
        "items": [
            _page("Service levels", "verified", "levels"),
            _page("Throughput", "show_chart", "throughput"),
            _page("Workers and schedules", "manufacturing", "workers"),
            _page("Limits", "speed", "limits"),
        ],
    },
    {
        "title": "Machinery",
        "separator": True,
        "items": [
            _item("Alerts", "notifications_active", "queues_alert_changelist", "queues.view_alert"),
            _item("Heartbeats", "ecg_heart", "queues_heartbeat_changelist", "queues.view_heartbeat"),
            _item("Breakers", "electric_bolt", "queues_breaker_changelist", "queues.view_breaker"),
            _item("Rate counters", "speed", "queues_ratecounter_changelist", "queues.view_ratecounter"),
            _item("Schedules", "schedule", "django_q_schedule_changelist", "django_q.view_schedule"),
            _item("Failed tasks", "report", "django_q_failure_changelist", "django_q.view_failure"),
        ],
    },
    {
        "title": "Trust",
        "separator": True,
        "items": [
            _item("Ledger", "history_edu", "queues_ledgerentry_changelist", "queues.view_ledgerentry"),
            _item("API tokens", "key", "queues_apitoken_changelist", "queues.view_apitoken"),
            _item("Accounts", "person", "auth_user_changelist", "auth.view_user"),
            _item("Groups", "group", "auth_group_changelist", "auth.view_group"),
        ],
    },
]

# A petrol scale; 600 on white and 400 on the dark ground both have a contrast of more than 4.5.
PRIMARY = {
    "50": "oklch(97.5% .014 200)",
    "100": "oklch(94.5% .03 200)",
    "200": "oklch(89% .056 202)",
    "300": "oklch(81% .085 204)",
    "400": "oklch(73% .105 206)",
    "500": "oklch(60% .1 208)",
    "600": "oklch(48% .085 212)",
    "700": "oklch(42% .075 214)",
    "800": "oklch(36% .062 216)",
    "900": "oklch(31% .05 218)",
    "950": "oklch(22% .04 220)",
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Redrive",
    "SITE_HEADER": "Redrive",
    "SITE_SUBHEADER": "Nothing is lost",
    "SITE_SYMBOL": "restart_alt",
    "SITE_URL": "/",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("redrive/icon.svg")}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "COLORS": {"primary": PRIMARY},
    "BORDER_RADIUS": "8px",
    "STYLES": [lambda _request: static("redrive/desk.css"), lambda _request: static("redrive/monitor.css")],
    "SCRIPTS": [
        lambda _request: static("redrive/desk.js"),
        lambda _request: static("queues/live.js"),
        lambda _request: static("queues/keys.js"),
        lambda _request: static("queues/json.js"),
    ],
    "DASHBOARD_CALLBACK": "queues.desk.overview.context",
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": NAVIGATION},
}
