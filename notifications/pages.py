"""What a customer sees of push: devices, why each is in its state, what is wanted, and the service worker.

Works without JavaScript; with it, this browser can be switched on and off here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import time, timedelta
from pathlib import Path
from typing import cast
from zoneinfo import available_timezones

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.db.models import Prefetch, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from notifications import preferences
from notifications.api.device_forms import server_key
from notifications.devices import registration
from notifications.models import DeviceTransition, PushDevice
from notifications.preferences import Choice
from notifications.states import LIVE, Reason

WORKER = "notifications/redrive-sw.js"
SHOWN = 50
"""Devices on the page; nobody looks at more."""
LINES = 20
"""Of a device's timeline, the newest."""
EARLIER = timedelta(days=30)
"""How long a device that has ended is shown."""


@login_required
@require_safe
def devices(request: HttpRequest) -> HttpResponse:
    """The page."""
    return _page(request, preferences.current(_user(request)), {})


@login_required
@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Send nothing to a device of one's own any more."""
    device = _own(request).filter(pk=pk).first()
    if device is None:
        raise Http404
    registration.remove(device=device, reason=Reason.OPTED_OUT, now=timezone.now())
    messages.success(request, f"{device.installation} gets no more notifications.")
    return redirect("devices:list")


@login_required
@require_POST
def choose(request: HttpRequest) -> HttpResponse:
    """Keep what the user wants; what cannot be kept is shown again with what is wrong."""
    names = preferences.current(_user(request)).categories
    wanted = request.POST.getlist("category")
    errors: dict[str, str] = {}
    choice = Choice(
        everything=request.POST.get("everything") == "yes",
        categories={name: name in wanted for name in names},
        quiet_from=_time(request, "quiet_from", errors),
        quiet_until=_time(request, "quiet_until", errors),
        time_zone=request.POST.get("time_zone", "UTC")[:50],
    )
    try:
        if not errors:
            preferences.choose(user=_user(request), choice=choice)
    except preferences.Refused as refused:
        errors.update(refused.errors)
    if errors:
        return _page(request, choice, errors, status=422)
    messages.success(request, "Saved.")
    return redirect("devices:list")


@require_safe
def service_worker(request: HttpRequest) -> HttpResponse:
    """The service worker, at the root: it serves the paths below the place it comes from."""
    answer = HttpResponse(_worker(), content_type="text/javascript; charset=utf-8")
    answer["Cache-Control"] = "no-cache"
    return answer


def _page(request: HttpRequest, choice: Choice, errors: Mapping[str, str], *, status: int = 200) -> HttpResponse:
    now = timezone.now()
    lines = Prefetch("transitions", DeviceTransition.objects.order_by("-pk")[:LINES], to_attr="lines")
    rows = _own(request).prefetch_related(lines)
    ended = Q(status_changed_at__gt=now - EARLIER) & ~Q(status__in=LIVE)
    context = {
        "live": rows.filter(status__in=LIVE).order_by("-last_seen_at")[:SHOWN],
        "ended": rows.filter(ended).order_by("-status_changed_at")[:SHOWN],
        "choice": choice,
        "errors": errors,
        "zones": _zones(),
        "server_key": server_key(),
    }
    return render(request, "devices/list.html", context, status=status)


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)  # the pages are behind `login_required`


def _own(request: HttpRequest) -> QuerySet[PushDevice]:
    return PushDevice.objects.filter(installation__user=_user(request)).select_related("installation")


def _time(request: HttpRequest, name: str, errors: dict[str, str]) -> time | None:
    text = request.POST.get(name, "").strip()
    if not text:
        return None
    try:
        at = time.fromisoformat(text) if len(text) <= 8 and text.isascii() else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is not None:
        errors["quiet"] = "Times look like 22:00."
        return None
    return at


@functools.cache
def _zones() -> list[str]:
    return sorted(available_timezones())


@functools.cache
def _worker() -> str:
    found = finders.find(WORKER)
    return Path(str(found)).read_text(encoding="utf-8")
