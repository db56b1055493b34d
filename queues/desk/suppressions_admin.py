"""Suppressed addresses at the desk: the list, suppressing one more, lifting one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods
from unfold.decorators import display

from queues.desk import marks, operations, permissions, reasoned, refusals
from queues.desk.forms import ReasonForm, SuppressForm
from queues.desk.records_admin import RecordAdmin
from queues.desk.requests import actor_of
from queues.desk.selection import ID_MAX
from queues.email import addresses
from queues.email.models import Suppression

LIST = "admin:queues_suppression_changelist"


class ForceFilter(admin.SimpleListFilter):
    """In force, or lifted."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Both."""
        return [("force", "In force"), ("lifted", "Lifted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """By whether it was lifted."""
        return queryset.filter(lifted_at__isnull=self.value() == "force") if self.value() else queryset


@admin.register(Suppression)
class SuppressionAdmin(RecordAdmin):
    """Addresses that get no mail, or not every kind of it."""

    list_display = ("address", "state", "scope", "cause", "words_short", "since", "lift_link")
    fields = ("address", "state", "scope", "cause", "words", "since", "created_by", "lifted_at", "lifted_by")
    readonly_fields = fields
    list_filter = (ForceFilter, "cause")
    search_fields = ("address__exact",)
    search_help_text = "Exact address"
    ordering = ("-id",)
    list_select_related = False
    change_list_template = "desk/suppression_list.html"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By the normalized address, through its index."""
        if not search_term:
            return queryset, False
        try:
            return queryset.filter(Q(address=addresses.normalize(search_term))), False
        except ValueError:
            return queryset.none(), False

    def get_urls(self) -> list[URLPattern]:
        """Two pages of acts before the usual ones."""
        both = require_http_methods(["GET", "POST"])
        wrap = self.admin_site.admin_view
        return [
            path("suppress/", wrap(both(self.suppress_view)), name="queues_suppression_suppress"),
            path("<int:suppression_id>/lift/", wrap(both(self.lift_view)), name="queues_suppression_lift"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, with what this member of staff may do."""
        extra = {"may_suppress": permissions.may(request.user, "add", Suppression)}
        response: HttpResponse = super().changelist_view(request, extra | (extra_context or {}))
        return response

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """The column of lifting only for those who may."""
        shown = self.list_display
        return shown if permissions.may(request.user, "lift", Suppression) else shown[:-1]

    def suppress_view(self, request: HttpRequest) -> HttpResponse:
        """One more address."""
        _require(request, "add", "suppress")
        form = SuppressForm(request.POST or None)
        actor = actor_of(request)

        def act() -> str:
            said = form.cleaned_data
            done = operations.suppress(
                address=said["address"], scope=said["scope"], actor=actor, reason=said["reason"], now=timezone.now()
            )
            return f"{said['address']} gets no mail ({said['scope']}) from now on." if done else ""

        return reasoned.page(
            request,
            site=self.admin_site,
            title="Suppress an address",
            effect="Mail to this address is cancelled from now on, until somebody lifts the suppression.",
            button="Suppress",
            back=reverse(LIST),
            form=form,
            act=act,
            refusal="Nothing was done: this address is suppressed already.",
            gives_up=True,
        )

    def lift_view(self, request: HttpRequest, suppression_id: int) -> HttpResponse:
        """End one."""
        _require(request, "lift", "lift")
        row = Suppression.objects.filter(pk=suppression_id).first() if suppression_id <= ID_MAX else None
        if row is None:
            raise Http404
        form = ReasonForm(request.POST or None)
        actor = actor_of(request)

        def act() -> str:
            reason = form.cleaned_data["reason"]
            done = operations.lift(suppression_id=row.pk, actor=actor, reason=reason, now=timezone.now())
            return f"{row.address} gets mail again." if done else ""

        return reasoned.page(
            request,
            site=self.admin_site,
            title=f"Lift the suppression of {row.address}",
            effect=_warning(row),
            button="Lift",
            back=reverse(LIST),
            form=form,
            act=act,
            refusal="Nothing was done: it had been lifted already.",
        )

    @display(description="state")
    def state(self, row: Suppression) -> SafeString:
        """Whether it holds."""
        return marks.badge("cancelled", "In force") if row.in_force else marks.badge("good", "Lifted")

    @display(description="since")
    def since(self, row: Suppression) -> SafeString:
        """When it began."""
        return marks.moment(row.created_at, now=timezone.now())

    @display(description="words")
    def words_short(self, row: Suppression) -> str:
        """What the other side or staff said."""
        return row.words[:120]

    @display(description="act")
    def lift_link(self, row: Suppression) -> SafeString | str:
        """To the page that asks for a reason."""
        if not row.in_force:
            return ""
        url = reverse("admin:queues_suppression_lift", args=[row.pk])
        return format_html('<a class="desk-link" href="{}" aria-label="Lift {}">Lift…</a>', url, row.address)


def _require(request: HttpRequest, permission: str, act: str) -> None:
    """Raise PermissionDenied for who may not; an attempt, which is a POST, is recorded."""
    if permissions.may(request.user, permission, Suppression):
        return
    if request.method == "GET":
        raise PermissionDenied
    said: dict[str, Any] = {"reason": request.POST.get("reason", ""), "queue": operations.SUPPRESSIONS}
    with refusals.noted(actor=actor_of(request), act=act, now=timezone.now(), **said):
        raise PermissionDenied


def _warning(row: Suppression) -> str:
    if row.cause == Suppression.Cause.COMPLAINT:
        return (
            "The recipient called a mail of ours spam. Sending again without their word hurts the delivery of all "
            "other mail."
        )
    if row.cause == Suppression.Cause.HARD_BOUNCE:
        return "The address did not exist. If it still does not, the next mail bounces and it is suppressed again."
    if row.cause == Suppression.Cause.UNSUBSCRIBE:
        return "The recipient unsubscribed. Lift this only if they asked for mail again."
    return "Staff suppressed this address; mail to it is sent again from now on."
