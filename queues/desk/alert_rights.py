"""Who may handle alerts: asked by every page that acknowledges, silences or ends a silence."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone

from queues.desk import alert_acts, permissions, refusals
from queues.desk.requests import actor_of
from queues.monitor.models import Alert


def require(request: HttpRequest) -> None:
    """Raise PermissionDenied for who may not; a refused POST is in the ledger."""
    if permissions.may(request.user, alert_acts.HANDLE, Alert):
        return
    if request.method == "GET":
        raise PermissionDenied
    act = f"{request.path.rstrip('/').rpartition('/')[2]} alert"
    said: dict[str, Any] = {"reason": request.POST.get("reason", ""), "queue": "", "now": timezone.now()}
    with refusals.noted(actor=actor_of(request), act=act, **said):
        raise PermissionDenied
