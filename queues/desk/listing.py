"""The list of a queue's items: keyset pages in one fixed order, exact filters and search, nothing unbounded.

    ?status= ?kind= ?code= ?q= ?purged=1    the `Selection`
    ?after=<cursor>  ?before=<cursor>       the page; a cursor is the sort key of an item
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from django.utils.http import urlencode
from unfold.contrib.filters.admin import TextFilter
from unfold.views import ChangeList

from queues.desk import bounded, cursors, faces, plans
from queues.desk.selection import WAITING_WORD, Selection
from queues.engine.item import QueueItem
from queues.engine.states import Status

AFTER, BEFORE = "after", "before"


def selection(parameters: MultiValueDict[str, str]) -> Selection:
    """The selection that a list's URL describes; `id` (repeated) names items one by one."""
    ids = (int(pk) for pk in parameters.getlist("id") if pk.isascii() and pk.isdigit() and len(pk) < 20)
    return Selection(
        ids=tuple(dict.fromkeys(ids)),
        status=parameters.get("status", ""),
        kind=parameters.get("kind", ""),
        code=parameters.get("code", ""),
        search=parameters.get("q", ""),
        purged=parameters.get("purged") == "1",
    )


class StatusFilter(admin.SimpleListFilter):
    """By state; the choices are the vocabulary, no query is made for them."""

    title = "state"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The states, and waiting for both that wait."""
        face = faces.for_model(model_admin.model)
        return [(WAITING_WORD, "Waiting"), *((status, face.word(status)) for status in Status.values)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """All of the selection is applied at once, by the list."""
        return queryset


class KindFilter(admin.SimpleListFilter):
    """By type, of those that are registered."""

    title = "type"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The registered types, and the one asked for."""
        kinds = {*faces.for_model(model_admin.model).known_types(), request.GET.get("kind", "")} - {""}
        return [(kind, kind) for kind in sorted(kinds)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """All of the selection is applied at once, by the list."""
        return queryset


class CodeFilter(TextFilter):
    """By the exact cause of the last attempt; each row's cause is a link to it."""

    title = "cause"
    parameter_name = "code"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """All of the selection is applied at once, by the list."""
        return queryset


class PurgedFilter(admin.SimpleListFilter):
    """What was purged is out of sight unless asked for."""

    title = "purged"
    parameter_name = "purged"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """One choice besides the default."""
        return [("1", "Purged, restorable")]

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """The default is called what it is."""
        for choice in super().choices(changelist):
            if choice["display"] != "Purged, restorable":
                choice["display"] = "In sight"
            yield choice

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """All of the selection is applied at once, by the list."""
        return queryset


class ItemList(ChangeList):
    """A page of items. `count` is capped; `older` and `newer` are the neighbour pages' query strings, or ""."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.count = bounded.Count(0)
        self.older = self.newer = ""
        self.slow = False
        self.selection = selection(request.GET)
        super().__init__(request, *args, **kwargs)
        self.title = str(self.opts.verbose_name_plural).capitalize()

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Without the page's own parameters."""
        found = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name not in (AFTER, BEFORE)}

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """The selection in the list's order; filters and search are in it already."""
        self.filter_specs, self.has_filters, self.has_active_filters = self._filters(request)
        self.clear_all_filters_qs = "?"
        model: type[QueueItem] = self.model
        rows = self.selection.apply(model._default_manager.all()).defer(*plans.heavy(model))
        return rows.order_by(*cursors.order(self.selection.status))

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        """A changed filter begins at the first page."""
        return super().get_query_string(new_params, [*(remove or []), AFTER, BEFORE])

    def get_ordering_field_columns(self) -> dict[int, str]:
        """The order is fixed: the list has no sortable columns."""
        return {}

    def get_results(self, request: HttpRequest) -> None:
        """One page and whether there are others, by the sort key of its first and last row."""
        size = self.list_per_page
        after, before = request.GET.get(AFTER, ""), request.GET.get(BEFORE, "")
        try:
            with bounded.budget(self.queryset.db):
                page = self._page(after, before, size)
            self.count = bounded.count(self.queryset)
        except bounded.TookTooLong:
            page, self.slow = [], True
            messages.warning(request, "The database took too long for this filter. Narrow it down and try again.")
        self.result_list = page
        self.result_count = self.full_result_count = self.count.number or len(page)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True
        self.paginator = Paginator(page, size)

    def _page(self, after: str, before: str, size: int) -> list[Any]:
        status = self.selection.status
        backwards = bool(before) and not after
        rows = self.queryset.reverse() if backwards else self.queryset
        if edge := cursors.parse(after or before, status):
            rows = rows.filter(edge.newer() if backwards else edge.older())
        found = list(rows[: size + 1])
        further, page = len(found) > size, found[:size]
        if backwards:
            page.reverse()
        if page:
            self.older = self._link(AFTER, page[-1]) if further or backwards else ""
            self.newer = self._link(BEFORE, page[0]) if (further if backwards else bool(after)) else ""
        return page

    def _link(self, name: str, item: QueueItem) -> str:
        given = {key: value for key, value in self.filter_params.items() if key not in (AFTER, BEFORE)}
        return "?" + urlencode({**given, name: cursors.of(item, self.selection.status)}, doseq=True)

    def _filters(self, request: HttpRequest) -> tuple[list[Any], bool, bool]:
        specs, has_filters, _left, _duplicates, active = self.get_filters(request)
        return specs, has_filters, active


