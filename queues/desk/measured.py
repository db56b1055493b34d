"""What all pages of measures share: who may see them, their frame, and open failure spells in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from queues.desk import permissions
from queues.engine.failure_groups import FailureGroup
from queues.monitor import recovery
from queues.monitor.models import SloMinute

type View = Callable[..., HttpResponse]
TABS = (
    ("levels", "Service levels"),
    ("throughput", "Throughput"),
    ("workers", "Workers and schedules"),
    ("limits", "Limits"),
)


def guarded(view: View) -> View:
    """For staff who may watch: others are sent to the log-in, or refused."""

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not permissions.may(request.user, "watch", SloMinute):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return admin.site.admin_view(require_safe(checked))


def page(request: HttpRequest, template: str, context: Mapping[str, Any], *, now: datetime) -> HttpResponse:
    """A page in the desk's frame."""
    here = request.resolver_match.url_name if request.resolver_match else ""
    tabs = [(reverse(f"monitor:{name}"), words, name == here) for name, words in TABS]
    whole = {**admin.site.each_context(request), **context, "now": now, "monitor_tabs": tabs}
    return TemplateResponse(request, template, whole)


def spells(*, now: datetime) -> list[tuple[str, str, timedelta, str]]:
    """Open failure spells: (queue, cause, how long, address of the group)."""
    rows = list(recovery.open_ones())
    groups = {
        (group.queue, group.fingerprint): group.pk
        for group in FailureGroup.objects.filter(fingerprint__in=[row.fingerprint for row in rows])
    }
    return [
        (
            row.queue,
            row.code or "unknown cause",
            now - row.failed_at,
            reverse("admin:queues_failuregroup_change", args=[groups[row.queue, row.fingerprint]])
            if (row.queue, row.fingerprint) in groups
            else "",
        )
        for row in rows
    ]
