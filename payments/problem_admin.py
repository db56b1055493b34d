"""Problems at the desk: what was paid and fits no order, each with its refund one click away."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods
from unfold.decorators import display

from payments import faces, money, problems, refund_page
from payments.models import Order, Problem
from queues.desk import marks, permissions, reasoned
from queues.desk.forms import ReasonForm
from queues.desk.records_admin import RecordAdmin
from queues.desk.requests import actor_of
from queues.desk.selection import ID_MAX

LIST = "admin:payments_problem_changelist"


class OpenFilter(admin.SimpleListFilter):
    """Open, or resolved."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Both."""
        return [("open", "Open"), ("resolved", "Resolved")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """By whether it was resolved."""
        return queryset.filter(resolved_at__isnull=self.value() == "open") if self.value() else queryset


@admin.register(Problem)
class ProblemAdmin(RecordAdmin):
    """Money that fits no rule."""

    list_display = ("kind", "state", "amount_shown", "order_link", "words", "since", "acts")
    fields = ("kind", "state", "amount_shown", "order_link", "words", "payment_intent", "since", "resolution", "acts")
    readonly_fields = fields
    list_filter = (OpenFilter, "kind")
    ordering = ("-id",)
    list_select_related = ("order",)
    search_fields = ("order__reference__exact", "payment_intent__exact")
    search_help_text = "Exact reference of the order, or Stripe's id of the payment"

    def get_urls(self) -> list[URLPattern]:
        """Two pages of acts before the usual ones."""
        both = require_http_methods(["GET", "POST"])
        wrap = self.admin_site.admin_view
        return [
            path("<int:problem_id>/refund/", wrap(both(self.refund_view)), name="payments_problem_refund"),
            path("<int:problem_id>/resolve/", wrap(both(self.resolve_view)), name="payments_problem_resolve"),
            *super().get_urls(),
        ]

    def refund_view(self, request: HttpRequest, problem_id: int) -> HttpResponse:
        """Give the whole payment back."""
        problem = self._found(request, problem_id, act="refund", model=Order)
        if problem.kind == Problem.Kind.REFUND_FAILED:
            raise Http404  # it is the order's money: refund the order again
        return refund_page.view(
            request, site=self.admin_site, order=problem.order, problem=problem, back=reverse(LIST) + "?state=open"
        )

    def resolve_view(self, request: HttpRequest, problem_id: int) -> HttpResponse:
        """Say that it is over."""
        problem = self._found(request, problem_id, act="resolve", model=Problem)
        form = ReasonForm(request.POST or None)

        def act() -> str:
            reason = form.cleaned_data["reason"]
            done = problems.resolve(problem=problem, actor=actor_of(request), reason=reason, now=timezone.now())
            return f"“{problem}” is resolved." if done else ""

        return reasoned.page(
            request,
            site=self.admin_site,
            title=f"Resolve “{problem}”",
            effect=f"{problem.words} No money moves: say how it was settled.",
            button="Resolve",
            back=reverse(LIST) + "?state=open",
            form=form,
            act=act,
            refusal="Nothing was done: it had been resolved already.",
        )

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """The column of acts only for those who may."""
        return self.list_display if _may(request) else self.list_display[:-1]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """The same for the page of one."""
        return self.fields if _may(request) else self.fields[:-1]

    def _found(self, request: HttpRequest, problem_id: int, *, act: str, model: type[Order | Problem]) -> Problem:
        if not (self.has_view_permission(request) and permissions.may(request.user, act, model)):
            raise PermissionDenied
        rows = Problem.objects.select_related("order")
        problem = rows.filter(pk=problem_id).first() if problem_id <= ID_MAX else None
        if problem is None:
            raise Http404
        return problem

    @display(description="state")
    def state(self, row: Problem) -> SafeString:
        """Whether somebody has to act."""
        return faces.problem(row)

    @display(description="amount")
    def amount_shown(self, row: Problem) -> str:
        """With its currency."""
        return money.show(row.amount, row.currency)

    @display(description="order")
    def order_link(self, row: Problem) -> SafeString:
        """To the order's page."""
        if row.order is None:
            return marks.nothing()
        url = reverse("admin:payments_order_change", args=[row.order.pk])
        return format_html('<a class="desk-link" href="{}">{}</a>', url, row.order)

    @display(description="since")
    def since(self, row: Problem) -> SafeString:
        """When it was found."""
        return marks.moment(row.created_at, now=timezone.now())

    @display(description="act")
    def acts(self, row: Problem) -> SafeString | str:
        """To the pages that ask for a reason."""
        if row.resolved_at:
            return ""
        resolve = reverse("admin:payments_problem_resolve", args=[row.pk])
        link = format_html('<a class="desk-link" href="{}" aria-label="Resolve {}">Resolve…</a>', resolve, row.key)
        if row.kind == Problem.Kind.REFUND_FAILED:
            return link
        refund = reverse("admin:payments_problem_refund", args=[row.pk])
        return format_html(
            '<a class="desk-link" href="{}" aria-label="Refund {}">Refund…</a> {}', refund, row.key, link
        )


def _may(request: HttpRequest) -> bool:
    return permissions.may(request.user, "refund", Order) or permissions.may(request.user, "resolve", Problem)
