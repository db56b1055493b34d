"""Devices at the desk: what state an address is in, and why; a test push, and its end."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods, require_safe
from unfold.decorators import display

from notifications import faces
from notifications.models import DeviceTransition, Installation, PushDelivery, PushDevice
from notifications.sending import staff
from notifications.states import LIVE, DeviceStatus
from queues.desk import ledger, marks, permissions, reasoned, refusals
from queues.desk.forms import ReasonForm
from queues.desk.records_admin import RecordAdmin
from queues.desk.requests import actor_of
from queues.desk.selection import ID_MAX
from queues.desk.timeline import Event

LINES = 200
"""Of a device's history, the newest."""
VIEW_ADDRESS = "notifications.view_address"
RECENT = 10
"""Deliveries on a device's page."""


class QuarantineFilter(admin.SimpleListFilter):
    """Held back, or not."""

    title = "quarantine"
    parameter_name = "held"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """One choice: the rest is everything else."""
        return [("yes", "In quarantine")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """By the mark."""
        return queryset.filter(quarantined_at__isnull=False) if self.value() == "yes" else queryset


@admin.register(PushDevice)
class PushDeviceAdmin(RecordAdmin):
    """Addresses: whose, by which way, and whether pushes reach them."""

    list_display = ("shown", "state", "user", "transport", "reason", "seen", "sent", "registered")
    list_display_links = ("shown",)
    list_filter = (QuarantineFilter, "status", "transport")
    list_select_related = ("installation__user",)
    ordering = ("-id",)
    search_fields = ("installation__user__username__exact", "installation__installation_id__exact", "pk__exact")
    search_help_text = "Exact user name, installation id, or number of the device"

    def get_urls(self) -> list[URLPattern]:
        """The page of one device is ours, and there are two more for its acts."""
        wrap, both = self.admin_site.admin_view, require_http_methods(["GET", "POST"])
        base = "notifications_pushdevice"
        return [
            path("<int:device_id>/change/", wrap(require_safe(self.device_view)), name=f"{base}_change"),
            path("<int:device_id>/test/", wrap(both(self.test_view)), name=f"{base}_test"),
            path("<int:device_id>/unregister/", wrap(both(self.unregister_view)), name=f"{base}_unregister"),
            *(each for each in super().get_urls() if each.name != f"{base}_change"),
        ]

    def device_view(self, request: HttpRequest, device_id: int) -> HttpResponse:
        """Everything about one device, and why it is as it is."""
        device, now = self._found(request, device_id), timezone.now()
        live = device.status in LIVE
        recent: Any = PushDelivery.objects.filter(device=device).order_by("-pk")[:RECENT]
        seen = permissions.may(request.user, "view", PushDelivery)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Device {device.pk}",
            "now": now,
            "device": device,
            "badge": faces.device(device),
            "why": _why(device),
            "facts": self._facts(device, whole=staff.may(request.user, VIEW_ADDRESS)),
            "events": _events(device),
            "deliveries": [(row, faces.delivery(row)) for row in recent] if seen else [],
            "may_test": live and staff.may(request.user, staff.TEST),
            "may_unregister": live and staff.may(request.user, staff.UNREGISTER),
        }
        return TemplateResponse(request, "notifications/device.html", context)

    def test_view(self, request: HttpRequest, device_id: int) -> HttpResponse:
        """Send it a test push."""
        device = self._found(request, device_id, needs=staff.TEST)
        form = ReasonForm(request.POST or None)

        def act() -> str:
            reason = form.cleaned_data["reason"]
            sent = staff.test(device=device, actor=actor_of(request), reason=reason, now=timezone.now())
            return f"A test push is on its way: delivery {sent}." if sent else ""

        return reasoned.page(
            request,
            site=self.admin_site,
            title=f"Send a test push to {device}",
            effect=f"{device.installation.user} sees “A test” on {device}. It is tried for ten minutes, passes quiet "
            "hours and uses none of the user's allowance; its answer is shown on the page of the delivery.",
            button="Send a test push",
            back=page(device),
            form=form,
            act=act,
            refusal="Nothing was sent: the address is not in use any more.",
        )

    def unregister_view(self, request: HttpRequest, device_id: int) -> HttpResponse:
        """Send nothing to it any more."""
        device = self._found(request, device_id, needs=staff.UNREGISTER)
        theirs: Any = PushDelivery.objects.waiting()
        waiting = theirs.filter(device=device).count()
        form = ReasonForm(request.POST or None)

        def act() -> str:
            reason = form.cleaned_data["reason"]
            done = staff.unregister(device=device, actor=actor_of(request), reason=reason, now=timezone.now())
            return f"{device} is unregistered." if done else ""

        return reasoned.page(
            request,
            site=self.admin_site,
            title=f"Unregister {device}",
            effect=f"{device.installation.user} gets nothing on {device} until its app registers again; {waiting} "
            f"waiting {'push is' if waiting == 1 else 'pushes are'} suppressed.",
            button="Unregister",
            back=page(device),
            form=form,
            act=act,
            refusal="Nothing was done: its address was not in use.",
            gives_up=True,
        )

    def _found(self, request: HttpRequest, device_id: int, *, needs: str = "") -> PushDevice:
        """The device, for someone who may; a refused act is in the ledger."""
        if not self.has_view_permission(request) or (needs and not staff.may(request.user, needs)):
            if request.method == "GET":
                raise PermissionDenied
            said: dict[str, Any] = {"reason": request.POST.get("reason", ""), "queue": staff.LEDGER}
            with refusals.noted(actor=actor_of(request), act=needs.rpartition(".")[2], now=timezone.now(), **said):
                raise PermissionDenied
        rows = PushDevice.objects.select_related("installation__user", "superseded_by")
        device = rows.filter(pk=device_id).first() if device_id <= ID_MAX else None
        if device is None:
            raise Http404
        return device

    def _facts(self, device: PushDevice, *, whole: bool) -> list[tuple[str, Any]]:
        now, installation = timezone.now(), device.installation
        times = (
            ("Registered", device.registered_at),
            ("Verified", device.verified_at),
            ("Seen", device.last_seen_at),
            ("Last accepted push", device.last_successful_send_at),
            ("Last confirmed by the device", device.last_confirmed_at),
        )
        facts: list[tuple[str, Any]] = [
            ("User", str(installation.user)),
            ("Installation", _installation(installation)),
            ("App", f"{installation.app} {installation.app_version}".strip()),
            ("Platform", installation.platform),
            ("Way", f"{device.get_transport_display()}, {device.get_environment_display().lower()}"),
            ("Address", format_html("<code>{}</code>", faces.address(device, whole=whole)) if device.address else ""),
            ("Kind of address", device.get_address_kind_display()),
            *((label, marks.exactly(at, now=now)) for label, at in times if at),
            ("Failures in a row", str(device.failure_count) if device.failure_count else ""),
            ("Replaced by", _successor(device)),
        ]
        return [(label, value) for label, value in facts if value]

    @display(description="device")
    def shown(self, row: PushDevice) -> str:
        """What its user calls it."""
        return str(row.installation)

    @display(description="state")
    def state(self, row: PushDevice) -> SafeString:
        """Whether pushes reach it."""
        return faces.device(row)

    @display(description="user")
    def user(self, row: PushDevice) -> str:
        """Whose."""
        return str(row.installation.user)

    @display(description="why")
    def reason(self, row: PushDevice) -> SafeString | str:
        """Why it is in its state."""
        return row.get_status_reason_display() if row.status_reason else marks.nothing()

    @display(description="seen")
    def seen(self, row: PushDevice) -> SafeString:
        """When its client came last."""
        return marks.moment(row.last_seen_at, now=timezone.now())

    @display(description="last accepted push")
    def sent(self, row: PushDevice) -> SafeString:
        """When the push service last took one for it."""
        return marks.moment(row.last_successful_send_at, now=timezone.now())

    @display(description="registered")
    def registered(self, row: PushDevice) -> SafeString:
        """Since when."""
        return marks.moment(row.registered_at, now=timezone.now())


def page(device: PushDevice) -> str:
    """The path of a device's page."""
    return reverse("admin:notifications_pushdevice_change", args=[device.pk])


def _installation(row: Installation) -> SafeString:
    address = reverse("admin:notifications_installation_change", args=[row.pk])
    return format_html('<a class="desk-link" href="{}">{}</a>', address, row)


def _successor(device: PushDevice) -> SafeString | str:
    if device.superseded_by is None:
        return ""
    return format_html(
        '<a class="desk-link" href="{}">device {}</a>', page(device.superseded_by), device.superseded_by.pk
    )


def _why(device: PushDevice) -> str:
    """The state in a sentence."""
    if device.quarantined_at is not None:
        return "Too many devices of its lane were called dead at once: nothing is sent to it until staff have judged."
    reason = f": {device.get_status_reason_display().lower()}" if device.status_reason else ""
    words = {
        DeviceStatus.PENDING: "It waits for its test push; nothing else is sent to it before.",
        DeviceStatus.ACTIVE: "Pushes are sent to it.",
        DeviceStatus.SUSPECT: f"A push to it failed{reason}. It is still sent to, campaigns at most once an hour.",
        DeviceStatus.STALE: "It was not seen for long: campaigns leave it out, everything else is sent.",
        DeviceStatus.INVALID: f"Nothing is sent to it{reason}.",
        DeviceStatus.UNREGISTERED: f"Nothing is sent to it{reason}.",
    }
    return words[DeviceStatus(device.status)]


def _events(device: PushDevice) -> list[Event]:
    """Its transitions, with the push service's words, and the acts of staff; newest first."""
    lines = [_line(each) for each in device.transitions.order_by("-pk")[:LINES]]
    acts = [
        Event(
            at=entry.at,
            shape="person",
            title=f"{entry.act.replace('_', ' ').capitalize()} by {entry.actor_name}",
            words=entry.reason,
            facts=(f"ledger entry {entry.pk}",),
        )
        for entry in ledger.of_item(queue=staff.LEDGER, item_id=device.pk)
    ]
    return sorted([*lines, *acts], key=lambda event: event.at or device.registered_at, reverse=True)


def _line(row: DeviceTransition) -> Event:
    shape, word = faces.state(row.after)
    moved = f"{word} ({row.cause})" if row.before != row.after else row.cause.capitalize()
    said = " ".join(filter(None, (row.transport_status, row.transport_reason)))
    delivery = f"delivery {row.delivery_id}" if row.delivery_id else ""
    return Event(at=row.at, shape=shape, title=moved, words=row.words, facts=tuple(filter(None, (said, delivery))))
