"""Lanes at the desk: which of them stopped and why, what is in quarantine; resume, restore, release."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods
from unfold.decorators import display

from notifications import faces
from notifications.models import Lane
from notifications.sending import quarantine, staff
from queues.desk import bounded, marks, reasoned, refusals
from queues.desk.forms import ReasonForm
from queues.desk.records_admin import RecordAdmin
from queues.desk.requests import actor_of
from queues.desk.selection import ID_MAX

LIST = "admin:notifications_lane_changelist"
ACTS = ("resume", "restore", "release")


@admin.register(Lane)
class LaneAdmin(RecordAdmin):
    """Ways that stopped once: one app, transport, environment and credential. A lane without a row is open."""

    list_display = ("shown", "state_shown", "reason", "held", "opens", "changed", "acts")
    list_display_links = ("shown",)
    fields = ("shown", "credential", "state_shown", "reason", "words", "held", "opens", "changed", "acts")
    readonly_fields = fields
    list_filter = ("state", "transport")
    ordering = ("-changed_at",)
    list_before_template = "notifications/lanes.html"

    def get_urls(self) -> list[URLPattern]:
        """Three pages of acts before the usual ones."""
        wrap, both = self.admin_site.admin_view, require_http_methods(["GET", "POST"])
        views: dict[str, Callable[..., HttpResponse]] = {
            "resume": self.resume_view,
            "restore": self.restore_view,
            "release": self.release_view,
        }
        return [
            *(path(f"<int:lane_id>/{act}/", wrap(both(views[act])), name=f"notifications_lane_{act}") for act in ACTS),
            *super().get_urls(),
        ]

    def resume_view(self, request: HttpRequest, lane_id: int) -> HttpResponse:
        """Try it again."""
        lane = self._found(request, lane_id, act="resume_lane")
        form = ReasonForm(request.POST or None)

        def act() -> str:
            reason = form.cleaned_data["reason"]
            done = staff.resume(lane=lane, actor=actor_of(request), reason=reason, now=timezone.now())
            return f"{lane} is tried again: one push first, the others when it works." if done else ""

        return self._ask(
            request,
            title=f"Resume {lane}",
            effect=f"It stopped: {lane.reason or 'no reason was given'}. One waiting push tries it; if the push "
            "service takes it, the others follow, and if not, it stops again. Devices are not touched.",
            button="Resume",
            form=form,
            act=act,
            refusal="Nothing was done: it is not stopped.",
        )

    def restore_view(self, request: HttpRequest, lane_id: int) -> HttpResponse:
        """The devices in quarantine were healthy."""
        return self._judge(
            request,
            lane_id,
            judge=staff.restore,
            title="Restore {n} of {lane}",
            effect="They are what they were before, and the lane is tried again. Choose this if the refusals were our "
            "own mistake: a wrong key, a wrong project. One whose installation has a newer address keeps that.",
            button="Restore {n}",
            told="{n} restored.",
        )

    def release_view(self, request: HttpRequest, lane_id: int) -> HttpResponse:
        """The devices in quarantine really are gone."""
        return self._judge(
            request,
            lane_id,
            judge=staff.release,
            title="Release {n} of {lane} as invalid",
            effect="Nothing is sent to them any more, until their apps register again; the lane is tried again. "
            "Choose this if the push service was right: an app withdrawn, old tokens that ended together.",
            button="Let {n} be invalid",
            told="{n} are invalid.",
            gives_up=True,
        )

    def _judge(
        self,
        request: HttpRequest,
        lane_id: int,
        *,
        judge: Callable[..., quarantine.Judged],
        title: str,
        effect: str,
        button: str,
        told: str,
        gives_up: bool = False,
    ) -> HttpResponse:
        lane = self._found(request, lane_id, act=judge.__name__)
        form = ReasonForm(request.POST or None)

        def act() -> str:
            reason = form.cleaned_data["reason"]
            judged = judge(lane=lane, actor=actor_of(request), reason=reason, now=timezone.now())
            rest = f" {judged.left:,} are left: judge again." if judged.left else ""
            return told.format(n=_devices(len(judged.devices))) + rest if judged.devices else ""

        number = min(quarantine.held(lane).count(), quarantine.AT_ONCE)
        return self._ask(
            request,
            title=title.format(n=_devices(number), lane=lane),
            effect=effect,
            button=button.format(n=_devices(number)),
            form=form,
            act=act,
            refusal="Nothing was done: no device of this lane is in quarantine.",
            gives_up=gives_up,
        )

    def _ask(self, request: HttpRequest, **parts: Any) -> HttpResponse:
        return reasoned.page(request, site=self.admin_site, back=reverse(LIST), **parts)

    def _found(self, request: HttpRequest, lane_id: int, *, act: str) -> Lane:
        """The lane, for someone who may; a refused act is in the ledger."""
        if not (self.has_view_permission(request) and staff.may(request.user, staff.RESUME)):
            if request.method == "GET":
                raise PermissionDenied
            said: dict[str, Any] = {"reason": request.POST.get("reason", ""), "queue": staff.LEDGER}
            with refusals.noted(actor=actor_of(request), act=act, now=timezone.now(), **said):
                raise PermissionDenied
        lane = Lane.objects.filter(pk=lane_id).first() if lane_id <= ID_MAX else None
        if lane is None:
            raise Http404
        return lane

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """The column of acts only for those who may."""
        return self.list_display if staff.may(request.user, staff.RESUME) else self.list_display[:-1]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """The same for the page of one."""
        return self.fields if staff.may(request.user, staff.RESUME) else self.fields[:-1]

    @display(description="lane")
    def shown(self, row: Lane) -> str:
        """Which."""
        whom = row.credential.partition("@")[2]  # the host, or the platform
        parts = (row.get_transport_display(), whom, row.get_environment_display().lower(), row.app)
        return ", ".join(part for part in parts if part not in ("", "default", "production"))

    @display(description="state")
    def state_shown(self, row: Lane) -> SafeString:
        """Whether it carries pushes."""
        return faces.lane(row)

    @display(description="in quarantine")
    def held(self, row: Lane) -> SafeString | str:
        """How many devices, with a link to them."""
        number = bounded.count(quarantine.held(row), cap=quarantine.AT_ONCE)
        if not number:
            return marks.nothing()
        address = reverse("admin:notifications_pushdevice_changelist")
        query = f"held=yes&transport__exact={row.transport}"
        return format_html('<a class="desk-link" href="{}?{}">{}</a>', address, query, number)

    @display(description="opens")
    def opens(self, row: Lane) -> SafeString | str:
        """When by itself."""
        if row.state != Lane.State.STOPPED:
            return marks.nothing()
        return marks.moment(row.until, now=timezone.now()) if row.until else "when staff resume it"

    @display(description="changed")
    def changed(self, row: Lane) -> SafeString:
        """When it last stopped or opened."""
        return marks.moment(row.changed_at, now=timezone.now())

    @display(description="act")
    def acts(self, row: Lane) -> SafeString:
        """What can be done with it now."""
        fitting = ["restore", "release"] if quarantine.held(row).exists() else []
        fitting += ["resume"] if row.state == Lane.State.STOPPED else []
        links = ((reverse(f"admin:notifications_lane_{act}", args=[row.pk]), act.capitalize()) for act in fitting)
        return format_html_join(" · ", '<a class="desk-link" href="{}">{} …</a>', links) or marks.nothing()


def _devices(number: int) -> str:
    return f"{number:,} {'device' if number == 1 else 'devices'}"
