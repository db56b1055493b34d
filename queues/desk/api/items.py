"""`/api/v1/queues/<queue>/items/<id>/…`: one item, what it carries, editing it; and a list as a file."""

from __future__ import annotations

from typing import Any

from django.http import Http404, StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from queues.desk import acts, edits, exports, faces, permissions, privacy, waiting
from queues.desk.api import queue_forms as forms
from queues.desk.api.emails import problems
from queues.desk.api.queues import SEES, QueueView
from queues.desk.operations import Actor
from queues.engine import registry


class OneItem(QueueView):
    """An item."""

    needs = {"GET": SEES}

    @extend_schema(
        operation_id="queue_item", summary="An item", responses={200: forms.ItemDetailAnswer, **problems(404)}
    )
    def get(self, request: Request, queue: str, pk: int) -> Response:
        """How it stands and why."""
        item, now = _found(queue, pk), timezone.now()
        model = registry.get(queue).model
        may = [act for act in acts.ACTS.values() if permissions.may(request.user, act.name, model)]
        item.why = str(waiting.why(item, queue=registry.get(queue), now=now))
        item.acts = [act.name for act in may if not act.hinders(item, now)]
        if permissions.may(request.user, "edit", model) and not edits.hinders(item, faces.for_model(model).editor):
            item.acts.append("edit")
        return Response(forms.ItemDetailAnswer(item).data)


class Payload(QueueView):
    """What it carries."""

    needs = {"POST": SEES}

    @extend_schema(
        operation_id="queue_item_payload",
        summary="See what an item carries",
        description="A POST, because it is recorded in the ledger with its reason.",
        request=forms.UnmaskForm,
        responses={200: forms.PayloadAnswer, **problems(400, 404)},
    )
    def post(self, request: Request, queue: str, pk: int) -> Response:
        """Record it, and show it."""
        said, item = self.valid(request, forms.UnmaskForm).validated_data, _found(queue, pk)
        self.act(
            request,
            "view payload",
            lambda actor: privacy.unmask(queue=queue, item_id=pk, actor=actor, now=timezone.now(), **said),
        )
        return Response({"contents": faces.for_model(type(item)).contents(item)})


class Edit(QueueView):
    """Other contents, then back to work."""

    needs = {"POST": SEES}

    @extend_schema(
        operation_id="queue_item_edit",
        summary="Edit and redrive",
        description="Of a mail: to, cc, bcc, subject, context. Everything else is protected. The original is kept.",
        request=forms.EditForm,
        responses={200: forms.EditAnswer, **problems(400, 404, 409, 422)},
    )
    def post(self, request: Request, queue: str, pk: int) -> Response:
        """Edit it."""
        said, item = self.valid(request, forms.EditForm).validated_data, _found(queue, pk)

        def do(actor: Actor) -> dict[str, Any]:
            return edits.edit(queue=queue, item=item, actor=actor, now=timezone.now(), **said)

        return Response(self.act(request, "edit", do))


class Export(QueueView):
    """A list as a file."""

    needs = {"POST": SEES}

    @extend_schema(
        operation_id="queue_export",
        summary="Export items",
        description="Streamed as CSV or NDJSON, masked, without contents; its beginning and end are in the ledger.",
        request=forms.ExportForm,
        responses={
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/x-ndjson"): OpenApiTypes.STR,
            **problems(400, 404),
        },
    )
    def post(self, request: Request, queue: str) -> StreamingHttpResponse:
        """Stream it."""
        form = self.valid(request, forms.ExportForm)
        how: dict[str, Any] = {"form": form.validated_data["form"], "reason": form.validated_data["reason"]}

        def begin(actor: Actor) -> Any:
            selection = form.selection()
            return exports.begin(queue=queue, selection=selection, actor=actor, clock=timezone.now, **how)

        return StreamingHttpResponse(self.act(request, "export", begin), content_type=exports.TYPES[how["form"]])


def _found(queue: str, pk: int) -> Any:
    item = registry.get(queue).model._default_manager.filter(pk=pk).first()
    if item is None:
        raise Http404
    return item
