"""What the pages ask again while they are open: the numbers of the start page, and the rows of a list.

GET only, with the page's own permissions, in a few bounded statements; the numbers of all queues are kept for two
seconds, so that many open start pages cost what one does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from queues.desk import bounded, grammar, listing, overview, plans

if TYPE_CHECKING:
    from queues.desk.admin import QueueItemAdmin

IDS_MAX = 100
NEWER_MAX = 99


@never_cache
@require_GET
def numbers(request: HttpRequest) -> HttpResponse:
    """The live part of each queue's card on the start page."""
    now = timezone.now()
    cards = overview.cards(request, now=now, fresh=False)
    return TemplateResponse(request, "desk/overview_live.html", {"queues": cards, "now": now})


@never_cache
def rows(request: HttpRequest, *, desk: QueueItemAdmin) -> HttpResponse:
    """Of the rows on the page (`ids`) the columns that change; and how many came since the first (`top`).

    Raises PermissionDenied.
    """
    if not desk.has_view_permission(request):
        raise PermissionDenied
    shown, top = _numbers(request.GET.get("ids", "")), _numbers(request.GET.get("top", ""))
    manager = desk.model._default_manager
    found: dict[str, dict[str, str]] = {}
    for item in manager.filter(pk__in=shown).defer(*plans.heavy(desk.model)):
        parts: dict[str, Any] = {"badge": desk.badge, "tries": desk.tries, "cause": desk.cause, "due": desk.due}
        found[str(item.pk)] = {name: str(draw(item)) for name, draw in parts.items()}
    newer = bounded.Count(0)
    if top:
        try:
            meant = listing.selection(request.GET).apply(manager.all(), hinted=True)
            newer = bounded.count(meant.filter(pk__gt=top[0]), cap=NEWER_MAX, milliseconds=40)
        except grammar.Mistake:
            newer = bounded.Count(0)  # its page says what is wrong
    return JsonResponse(
        {
            "rows": found,
            "gone": [pk for pk in shown if str(pk) not in found],
            "newer": str(newer) if newer.number else "",
            "as_of": f"{timezone.now():%H:%M:%S} UTC",
        }
    )


def _numbers(text: str) -> list[int]:
    """The ids in `1,2,3`; what is none is left out."""
    parts = [part for part in text.split(",")[:IDS_MAX] if part.isascii() and part.isdigit() and len(part) < 19]
    return [int(part) for part in parts]
