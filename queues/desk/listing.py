"""The list of a queue's items: keyset pages in one fixed order, exact filters and search, nothing unbounded.

q                                  a filter in the language of `filters`
status, kind, code, purged=1       fields of the `Selection` by themselves; what `q` says of them wins
after, before                      the page: cursors, which are the sort key of an item
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from django.utils.http import urlencode
from unfold.contrib.filters.admin import TextFilter
from unfold.views import ChangeList

from queues.desk import bounded, cursors, faces, filters, grammar, plans
from queues.desk.selection import WAITING_WORD, Selection
from queues.engine.item import QueueItem
from queues.engine.states import Status

AFTER, BEFORE = "after", "before"
COUNT_MS = 40
"""What a number is worth to a page: what takes longer is estimated, and says so."""
FILTERS = ("status", "kind", "code", "q", "purged")


def selection(parameters: MultiValueDict[str, str]) -> Selection:
    """The selection that a list's URL describes; `id` (repeated) names items one by one.

    Who meant to name items and named none gets nothing, not everything.
    """
    ids = [int(pk) for pk in parameters.getlist("id") if pk.isascii() and pk.isdigit() and len(pk) < 20]
    if not ids and ("id" in parameters or "chosen" in parameters):
        ids = [0]
    status, purged, search = _lifted(parameters.get("q", "").strip())
    return Selection(
        ids=tuple(dict.fromkeys(ids)),
        status=status or parameters.get("status", ""),
        kind=parameters.get("kind", ""),
        code=parameters.get("code", ""),
        search=search,
        purged=purged or parameters.get("purged") == "1",
    )


def _lifted(text: str) -> tuple[str, bool, str]:
    """The state and `is:purged` that a filter names, which decide the list's order and its tab, and the filter's rest.

    A mistake is left where it is: whoever applies the filter says so.
    """
    try:
        words = grammar.read(text)
    except grammar.Mistake:
        return "", False, text
    states = [word for word in words if word.field == "status"]
    purged = grammar.Word(field="is", text="purged")
    if not states and any(word.field == "dead" for word in words):
        return Status.DEAD_LETTER.value, False, text  # in the order they died, which is what is asked
    if len(states) == 1 and states[0].text in filters.STATES and states == [_state(states[0].text)]:
        rest = [word for word in words if word not in (states[0], purged)]
        return states[0].text, purged in words, grammar.write(rest)
    return "", purged in words, grammar.write([word for word in words if word != purged]) if purged in words else text


def _state(name: str) -> grammar.Word:
    return grammar.Word(field="status", text=name)


def kept(parameters: MultiValueDict[str, str]) -> list[tuple[str, str]]:
    """The filter's part of a list's URL, to come back to it."""
    return [(name, value) for name in FILTERS if (value := parameters.get(name, ""))]


@dataclass(frozen=True, slots=True)
class Tab:
    """A state to look at; `taken` marks the one that is."""

    word: str
    shape: str
    query: str
    taken: bool


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


class ItemList(ChangeList):
    """A page of items. `count` is capped; `older` and `newer` are the neighbour pages' query strings, or ""."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.count = bounded.Count(0)
        self.older = self.newer = ""
        self.slow = False
        self.mistake: tuple[str, str, str] | None = None
        self.parameters = request.GET
        self.selection = selection(request.GET)
        super().__init__(request, *args, **kwargs)
        self.title = str(self.opts.verbose_name_plural).capitalize()

    @property
    def tabs(self) -> list[Tab]:
        """Every state as a link that keeps the other filters."""
        face = faces.for_model(self.model)
        chosen = self.selection
        kept_too = {name: value for name, value in kept(self.parameters) if name in ("kind", "code")}
        kept_too |= {"q": chosen.search} if chosen.search else {}
        states = [("", "", "All"), (WAITING_WORD, "", "Waiting")]
        states += [(status, status, face.word(status)) for status in Status.values]
        tabs = [
            Tab(word, shape, "?" + urlencode({**kept_too, **({"status": status} if status else {})}), taken)
            for status, shape, word in states
            for taken in [not chosen.purged and chosen.status == status]
        ]
        return [*tabs, Tab("Purged", "purged", "?" + urlencode({**kept_too, "purged": "1"}), chosen.purged)]

    @property
    def chips(self) -> list[tuple[str, str, str]]:
        """The filters in force besides the state: (name, value, the query string without it)."""
        labels = {"kind": "type", "code": "cause", "q": "filter"}
        given = kept(self.parameters)
        return [
            (labels[name], value, "?" + urlencode([pair for pair in given if pair[0] != name]))
            for name, value in given
            if name in labels
        ]

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Without the page's own parameters."""
        found = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name not in (AFTER, BEFORE)}

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """The selection in the list's order; filters and search are in it already."""
        self.filter_specs, self.has_filters, self.has_active_filters = self._filters(request)
        self.clear_all_filters_qs = "?"
        model: type[QueueItem] = self.model
        try:
            rows = self.selection.apply(model._default_manager.all(), hinted=True)
        except grammar.Mistake as mistake:
            rows = model._default_manager.none()
            # Positions are counted in what is left of the filter, so that is shown.
            text, place = self.selection.search, mistake.at - 1
            self.mistake = (mistake.words, text[:place], text[place:] or " ")
        return rows.defer(*plans.heavy(model)).order_by(*cursors.order(self.selection.status))

    @property
    def fields(self) -> list[filters.Field]:
        """What the filter language knows here, for the help below the search."""
        return [*filters.FIELDS, *faces.for_model(self.model).fields]

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        """A changed filter begins at the first page."""
        query: str = super().get_query_string(new_params, [*(remove or []), AFTER, BEFORE])
        return query

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
            self.count = bounded.count(self.queryset, milliseconds=COUNT_MS, or_estimate=True)
        except bounded.TookTooLong:
            page, self.slow = [], True
            messages.warning(request, "The database took too long for this filter. Narrow it down and try again.")
        self.result_list = page
        self.result_count = self.full_result_count = self.count.number or len(page)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True
        self.paginator = Paginator(page, size)
        self.page_num = 1

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
        specs, has_filters, left, _duplicates, active = self.get_filters(request)
        if left.keys() - {"id", "status", "purged"}:
            raise IncorrectLookupParameters  # not a filter of this list: better refused than ignored
        return specs, has_filters, active
