"""Shows what an item carries to who may see it: a POST, recorded, then the item's page with its contents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.http import urlencode

from queues.desk import privacy, refusals
from queues.desk.requests import actor_of

if TYPE_CHECKING:
    from queues.desk.admin import QueueItemAdmin


def view(request: HttpRequest, item_id: int, *, desk: QueueItemAdmin) -> HttpResponse:
    """POST records and shows; GET is the item's page. Raises PermissionDenied, Http404."""
    item = desk.found(request, item_id)
    if request.method == "GET":
        return desk.item_view(request, item_id)
    actor, now, queue = actor_of(request), timezone.now(), desk.queue.name
    with refusals.noted(actor=actor, act="view payload", queue=queue, now=now, items=[item.pk]):
        if not actor.may("view_payload", desk.model):
            raise PermissionDenied
        token = privacy.unmask(
            queue=queue, item_id=item.pk, actor=actor, now=now, reason=request.POST.get("reason", "")
        )
    return redirect(f"{desk.address('change', item.pk)}?{urlencode({privacy.PARAMETER: token})}#contents")
