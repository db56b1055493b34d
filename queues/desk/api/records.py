"""`/api/v1/queues/…`: failure groups and what staff say of them, suppressed addresses, the ledger."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from queues.desk import groups, operations, permissions
from queues.desk.api import queue_forms as forms
from queues.desk.api.emails import problems
from queues.desk.api.queues import BEFORE, PAGE, SEES, QueueView, before_of
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor
from queues.email import addresses
from queues.email.models import Suppression
from queues.engine.failure_groups import FailureGroup

STATE = OpenApiParameter("state", str, enum=FailureGroup.State.values, description="Without it: what is looked after")
ADDRESS = OpenApiParameter("address", str, description="This one alone")


class Groups(QueueView):
    """What fails for the same cause."""

    needs = {"GET": SEES}

    @extend_schema(
        operation_id="queue_groups",
        summary="The failure groups",
        parameters=[STATE],
        responses={200: forms.GroupsAnswer, **problems(400, 404)},
    )
    def get(self, request: Request, queue: str) -> Response:
        """Those seen last."""
        if not permissions.may(request.user, "view", FailureGroup):
            self.permission_denied(request)
        state = request.query_params.get("state", "")
        if state and state not in FailureGroup.State.values:
            raise serializers.ValidationError({"state": [f"One of {', '.join(FailureGroup.State.values)}."]})
        rows = FailureGroup.objects.filter(queue=queue, state__in=[state] if state else groups.LIVE)
        found = list(groups.counted(rows).order_by("-last_seen_at", "-pk")[:PAGE])
        return Response({"results": forms.GroupAnswer(found, many=True).data})


class Verdict(QueueView):
    """What staff say of one."""

    needs = {"POST": SEES}

    @extend_schema(
        operation_id="queue_group_verdict",
        summary="Acknowledge, resolve, ignore or reopen a group",
        request=forms.VerdictForm,
        responses={200: forms.DoneAnswer, **problems(400, 404)},
    )
    def post(self, request: Request, queue: str, pk: int, verdict: str) -> Response:
        """Say it."""
        said, now = self.valid(request, forms.VerdictForm).validated_data, timezone.now()
        if verdict not in groups.VERDICTS or not FailureGroup.objects.filter(queue=queue, pk=pk).exists():
            raise Http404
        until = said["until"]
        if (verdict == "ignore") != (until is not None and until > now):
            raise serializers.ValidationError({"until": ["A time to come, with ignore and with it alone."]})

        def say(actor: Actor) -> bool:
            return groups.say(group_id=pk, verdict=verdict, actor=actor, reason=said["reason"], now=now, until=until)

        return Response({"done": self.act(request, verdict, say)})


class Suppressions(QueueView):
    """Addresses that get no mail."""

    needs = {"GET": ("queues.view_suppression",), "POST": ("queues.view_suppression",)}
    about = operations.SUPPRESSIONS

    @extend_schema(
        operation_id="suppressions",
        summary="Suppressed addresses",
        parameters=[ADDRESS, BEFORE],
        responses={200: forms.SuppressionsAnswer, **problems(400)},
    )
    def get(self, request: Request) -> Response:
        """The newest fifty, or those of one address."""
        rows, before = Suppression.objects.order_by("-pk"), before_of(request)
        if address := request.query_params.get("address", ""):
            rows = rows.filter(address=_normal(address))
        found = list((rows.filter(pk__lt=before) if before else rows)[:PAGE])
        return Response({"results": forms.SuppressionAnswer(found, many=True).data})

    @extend_schema(
        operation_id="suppress",
        summary="Suppress an address",
        request=forms.SuppressForm,
        responses={200: forms.DoneAnswer, **problems(400)},
    )
    def post(self, request: Request) -> Response:
        """Suppress it."""
        said = dict(self.valid(request, forms.SuppressForm).validated_data)
        said["address"] = _normal(said["address"])

        def suppress(actor: Actor) -> bool:
            return operations.suppress(actor=actor, now=timezone.now(), **said)

        return Response({"done": self.act(request, "suppress", suppress)})


class Lift(QueueView):
    """One gets mail again."""

    needs = {"POST": ("queues.view_suppression",)}
    about = operations.SUPPRESSIONS

    @extend_schema(
        operation_id="suppression_lift",
        summary="Lift a suppression",
        request=forms.ReasonForm,
        responses={200: forms.DoneAnswer, **problems(400, 404)},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Lift it."""
        said = self.valid(request, forms.ReasonForm).validated_data
        if not Suppression.objects.filter(pk=pk).exists():
            raise Http404

        def lift(actor: Actor) -> bool:
            return operations.lift(suppression_id=pk, actor=actor, now=timezone.now(), **said)

        return Response({"done": self.act(request, "lift", lift)})


class Ledger(QueueView):
    """Every act of staff."""

    needs = {"GET": ("queues.view_ledgerentry",)}

    @extend_schema(
        operation_id="ledger",
        summary="The ledger",
        parameters=[BEFORE],
        responses={200: forms.EntriesAnswer, **problems(400)},
    )
    def get(self, request: Request) -> Response:
        """A page of entries, newest first."""
        rows: Any = LedgerEntry.objects.defer("items").order_by("-pk")
        before = before_of(request)
        found = list((rows.filter(pk__lt=before) if before else rows)[: PAGE + 1])
        last = found[PAGE - 1].pk if len(found) > PAGE else None
        return Response({"results": forms.EntryAnswer(found[:PAGE], many=True).data, "before": last})


def _normal(address: str) -> str:
    try:
        return addresses.normalize(address)
    except ValueError as error:
        raise serializers.ValidationError({"address": [f"{error}."]}) from error
