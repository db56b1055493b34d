"""The demo of push: this browser subscribes, and a form sends it a real encrypted push from this server.

The push travels by the browser maker's service (Google, Mozilla, Apple), so it needs the internet. Without it a pretend
device takes its place: what it is sent is in the log, and everything else is the same.
"""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from notifications import push as pushes
from notifications.api.device_forms import server_key
from notifications.devices import registration
from notifications.devices.formats import Given
from notifications.models import PushDelivery, PushDevice
from notifications.sending import words
from notifications.states import LIVE, Transport

SHOWN = 10
PRETEND = "pretend"


@login_required
@require_safe
def push(request: HttpRequest) -> HttpResponse:
    """This browser, the form, and what became of the last pushes."""
    user = cast(User, request.user)
    own = PushDevice.objects.filter(installation__user=user, status__in=LIVE)
    rows = cast(QuerySet[PushDelivery], PushDelivery.objects.filter(user=user)).order_by("-pk")
    context = {
        "server_key": server_key(),
        "devices": own.select_related("installation").order_by("-pk")[:SHOWN],
        "pushes": [(row, words.of(row)) for row in rows.select_related("device__installation")[:SHOWN]],
    }
    return render(request, "demo/push.html", context)


@login_required
@require_POST
def send(request: HttpRequest) -> HttpResponse:
    """Notify oneself, as `POST /api/v1/pushes/` does for programs."""
    title, body = (request.POST.get(name, "").strip() for name in ("title", "body"))
    try:
        done = pushes.notify(
            users=[cast(User, request.user)], title=title, body=body, url="/demo/push/", category="news"
        )
    except pushes.Invalid as error:
        messages.error(request, f"That cannot be pushed: {error.reason}.")
        return redirect("demo:push")
    if done.deliveries:
        messages.success(request, f"On its way to {done.deliveries} device{'s' if done.deliveries > 1 else ''}.")
    elif done.suppressed:
        messages.error(request, "Not sent: your own choice on the page of your devices says so.")
    else:
        messages.error(request, "No device to send it to yet: one that is still being checked gets nothing.")
    return redirect("demo:push")


@login_required
@require_POST
def pretend(request: HttpRequest) -> HttpResponse:
    """A device that is none: its pushes are written to the log."""
    user = cast(User, request.user)
    wish = registration.Wish(
        user=user,
        installation_id=PRETEND,
        about={"name": "Pretend device", "platform": "log"},
        given=Given(transport=Transport.CONSOLE, address=f"demo-{user.pk}"),
    )
    registration.register(wish=wish, now=timezone.now())
    messages.success(request, "A pretend device is registered: it is on within a second or two.")
    return redirect("demo:push")
