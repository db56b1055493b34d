"""`QueueItemAdmin`: the pages of a queue's items; a queue's own admin adds its columns and its contents.

    /                 the list            /<id>/change/    one item: facts, why it waits, history, contents
    /act/<act>/       GET shows what the act would touch (`?id=…` or the list's filter), POST does it
    /<id>/unmask/     POST shows what the item carries, and records it
    /<id>/edit/       edit and redrive, where the queue lets something be edited
    /live/            the rows and numbers of a list as they are now, for its page

Nothing else is edited here. Acts are never Django or Unfold actions: those can run on a GET.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_http_methods
from unfold.admin import ModelAdmin
from unfold.decorators import display

from queues.desk import (
    act_page,
    acts,
    differences,
    edit_page,
    edits,
    export_page,
    faces,
    listing,
    live_page,
    marks,
    permissions,
    privacy,
    timeline,
    unmask_page,
    waiting,
)
from queues.desk.selection import ID_MAX
from queues.engine import registry
from queues.engine.item import QueueItem
from queues.engine.states import WAITING


class QueueItemAdmin(ModelAdmin):
    """List and page of a queue's items. Subclasses set `list_display` columns, `details` and `item_template`."""

    list_display: tuple[str, ...] = ("badge", "title", "kind", "tries", "cause", "due", "created")
    list_display_links = ("title",)
    list_filter = (listing.KindFilter, listing.CodeFilter)
    list_filter_submit = True
    list_per_page = 50
    list_fullwidth = True
    search_fields = ("pk",)  # shows the box; `listing` searches
    sortable_by = ()
    show_full_result_count = False
    actions = None
    change_list_template = "desk/item_list.html"
    list_before_template = "desk/item_list_form.html"
    item_template = "desk/item.html"

    # --- what a queue's admin says -----------------------------------------------------------------------------------

    def details(self, item: Any) -> list[tuple[str, Any]]:
        """Facts that only this queue has: (name, value) pairs."""
        return []

    def reported(self, item: Any) -> list[timeline.Event]:
        """Events from outside (a provider's tracking)."""
        return []

    def contents(self, request: HttpRequest, item: Any) -> dict[str, Any]:
        """What the page's template needs to show the contents; bodies only if `self.sees(request, item)`."""
        return {}

    def sees(self, request: HttpRequest, item: Any) -> bool:
        """Whether this person asked to see what the item carries, and may."""
        return privacy.granted(request, model=self.model, item_id=item.pk)

    # --- permissions -------------------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Items come from programs."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Items are never edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Items are purged, not deleted."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Its own permission alone; the right to change, which nobody has, does not imply it."""
        return permissions.may(request.user, "view", self.model)

    # --- addresses ---------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Only what there is: no add, delete, history."""
        return [
            self._url("", self.changelist_view, "changelist"),
            self._url("act/<slug:act_name>/", self.act_view, "act"),
            self._url("export/", self.export_view, "export"),
            self._url("live/", self.live_view, "live"),
            self._url("<int:item_id>/change/", self.item_view, "change"),
            self._url("<int:item_id>/unmask/", self.unmask_view, "unmask"),
            *([self._url("<int:item_id>/edit/", self.edit_view, "edit")] if self.face.editor else []),
            *self.further_urls(),
        ]

    def further_urls(self) -> list[URLPattern]:
        """Pages that only this queue has."""
        return []

    def _url(self, route: str, view: Callable[..., HttpResponseBase], name: str) -> URLPattern:
        pattern: URLPattern = path(route, self.admin_site.admin_view(view), name=f"{self._base}_{name}")
        return pattern

    @property
    def _base(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}"

    def address(self, name: str, *args: Any) -> str:
        """The path of one of these pages."""
        return reverse(f"{self.admin_site.name}:{self._base}_{name}", args=args)

    # --- the list ----------------------------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[listing.ItemList]:
        """The bounded one."""
        return listing.ItemList

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """With boxes to tick where something can be done."""
        return ("tick", *self.list_display) if self.permitted(request) else self.list_display

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, with the acts this member of staff may do."""
        if request.method != "GET":
            return HttpResponse(status=405, headers={"Allow": "GET"})
        self.search_help_text = self.face.find_help
        chosen = listing.selection(request.GET)
        permitted = self.permitted(request)
        fitting = [act for act in permitted if act.fits(status=chosen.status, purged=chosen.purged)]
        kept = listing.kept(request.GET)
        extra = {
            # For chosen rows: in a list of every state each act may find its items; else only those that fit the state.
            "desk_permitted": fitting or [act for act in permitted if act.on_purged == chosen.purged],
            "desk_acts": fitting,
            "desk_act_base": self.address("act", "x").removesuffix("x/"),
            "desk_live_url": self.address("live"),
            "desk_filter": urlencode(kept),
            "desk_filter_pairs": kept,
        }
        response: HttpResponse = super().changelist_view(request, extra | (extra_context or {}))
        shown = getattr(response, "context_data", None) or {}
        rows = getattr(shown.get("cl"), "result_list", [])
        # Only the first page, which is in the order of ids unless it is of dead letters, can say what came since.
        first = not (request.GET.get(listing.AFTER) or request.GET.get(listing.BEFORE))
        shown["desk_top"] = max((row.pk for row in rows), default=0) if first else 0
        if getattr(shown.get("cl"), "mistake", None):
            response.status_code = 400
        return response

    @display(description="")
    def tick(self, item: QueueItem) -> SafeString:
        """The box that chooses the row, belonging to the form of acts."""
        return format_html(
            '<input type="checkbox" class="desk-tick" name="id" value="{}" form="desk-acts" aria-label="Choose {} {}">',
            item.pk,
            self.opts.verbose_name,
            item.pk,
        )

    @display(description="state")
    def badge(self, item: QueueItem) -> SafeString:
        """The state; purged says so."""
        if item.hidden_at:
            return marks.badge("purged", f"Purged ({self.face.word(item.status).lower()})")
        return marks.badge(item.status, self.face.word(item.status))

    @display(description="title")
    def title(self, item: QueueItem) -> str:
        """Who or what it is about."""
        return self.face.title(item)

    @display(description="tries")
    def tries(self, item: QueueItem) -> SafeString:
        """Since the last redrive. Says which row it is, for the page that keeps it up to date."""
        return format_html('<span data-item="{}">{}</span>', item.pk, item.attempts)

    @display(description="last cause")
    def cause(self, item: QueueItem) -> SafeString:
        """A link to all items with the same one."""
        if not item.last_code:
            return marks.nothing()
        query = urlencode({"code": item.last_code, **({"status": item.status} if not item.hidden_at else {})})
        return format_html(
            '<a class="cause" href="?{}" title="{}">{}</a>', query, item.last_words[:300], item.last_code
        )

    @display(description="next run")
    def due(self, item: QueueItem) -> SafeString:
        """When it runs, if it waits."""
        return marks.moment(item.due_at if item.status in WAITING else None, now=timezone.now())

    @display(description="created")
    def created(self, item: QueueItem) -> SafeString:
        """Its age."""
        return marks.moment(item.created_at, now=timezone.now())

    # --- one item ----------------------------------------------------------------------------------------------------

    def item_view(self, request: HttpRequest, item_id: int) -> HttpResponse:
        """Everything about one item."""
        return require_GET(self._item_page)(request, item_id)

    def _item_page(self, request: HttpRequest, item_id: int) -> HttpResponse:
        item, now = self.found(request, item_id), timezone.now()
        cause = waiting.why(item, queue=self.queue, now=now)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{str(self.opts.verbose_name).capitalize()} {item.pk}",
            "now": now,
            "item": item,
            "badge": self.badge(item),
            "heading": self.face.title(item),
            "why": cause,
            "remedy": cause if cause.needs and permissions.may(request.user, *cause.needs) else None,
            "facts": [*self.details(item), *self._facts(item, now)],
            "events": timeline.of(item, queue=self.queue.name, reported=self.reported(item)),
            "desk_acts": [act for act in self.permitted(request) if not act.hinders(item, now)],
            **self._private(request, item),
            "desk_act_base": self.address("act", "x").removesuffix("x/"),
            "list_url": self.address("changelist"),
            **self.contents(request, item),
        }
        return TemplateResponse(request, self.item_template, context)

    def _private(self, request: HttpRequest, item: QueueItem) -> dict[str, Any]:
        """What depends on whether this person sees the contents: the edits, and the ways to see and to edit."""
        seen, token = self.sees(request, item), request.GET.get(privacy.PARAMETER, "")
        editor = self.face.editor
        may_edit = permissions.may(request.user, "edit", self.model) and not edits.hinders(item, editor)
        kept = f"?{urlencode({privacy.PARAMETER: token})}" if seen else ""
        return {
            "seen": seen,
            "may_unmask": permissions.may(request.user, "view_payload", self.model),
            "unmask_url": self.address("unmask", item.pk),
            "edit_url": self.address("edit", item.pk) + kept if may_edit else "",
            "edits": differences.of_item(queue=self.queue.name, item_id=item.pk, editor=editor, seen=seen),
        }

    def _facts(self, item: QueueItem, now: datetime) -> list[tuple[str, Any]]:
        retries = self.queue.policy.max_retries if item.max_retries is None else item.max_retries
        facts = [
            ("Type", item.kind),
            ("Priority", item.get_priority_display()),
            ("Tries", f"{item.attempts} of {retries + 1} (runs in all: {item.runs})"),
            ("Last cause", item.last_code),
            ("Created", marks.exactly(item.created_at, now=now)),
            ("Next run", marks.exactly(item.due_at, now=now) if item.status in WAITING else ""),
            ("Expires", marks.exactly(item.expires_at, now=now) if item.expires_at else ""),
            ("Ended", marks.exactly(item.finished_at, now=now) if item.finished_at else ""),
            ("Purged", marks.exactly(item.hidden_at, now=now) if item.hidden_at else ""),
            ("Idempotency key", item.idempotency_key),
        ]
        return [(label, value) for label, value in facts if value != ""]

    def found(self, request: HttpRequest, item_id: int) -> Any:
        """The item, for someone who may see it. Raises PermissionDenied, or Http404."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        item = self.model._default_manager.filter(pk=item_id).first() if item_id <= ID_MAX else None
        if item is None:
            raise Http404
        return item

    def act_view(self, request: HttpRequest, act_name: str) -> HttpResponse:
        """What the act would touch; then, with a reason, the act."""
        return require_http_methods(["GET", "POST"])(act_page.view)(request, act_name, desk=self)

    def unmask_view(self, request: HttpRequest, item_id: int) -> HttpResponse:
        """Show what the item carries; a GET is its page."""
        return require_http_methods(["GET", "POST"])(unmask_page.view)(request, item_id, desk=self)

    def edit_view(self, request: HttpRequest, item_id: int) -> HttpResponse:
        """Other contents, then back to work."""
        return require_http_methods(["GET", "POST"])(edit_page.view)(request, item_id, desk=self)

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """The list as it is now, for the page that shows it."""
        return require_GET(live_page.rows)(request, desk=self)

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The list as a file."""
        return require_http_methods(["GET", "POST"])(export_page.view)(request, desk=self)

    # ---------------------------------------------------------------------------------------------------------------

    @property
    def face(self) -> faces.Face:
        """How the desk shows this queue."""
        return faces.for_model(self.model)

    @property
    def queue(self) -> registry.Queue:
        """The queue itself."""
        return registry.for_model(self.model)

    def permitted(self, request: HttpRequest) -> list[acts.Act]:
        """The acts this account may do here."""
        return [act for act in acts.ACTS.values() if permissions.may(request.user, act.name, self.model)]
