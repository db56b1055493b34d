"""`/api/v1/queues/…`: what the desk can do, for programs of staff; the same registry of acts, the same ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from queues.desk import acts, grammar, operations, overview, parameters, permissions, plans, refusals
from queues.desk.api import queue_forms as forms
from queues.desk.api.emails import problems
from queues.desk.api.problems import Problem
from queues.desk.bulk import freeze, run
from queues.desk.bulk.operation import Operation
from queues.desk.editor import Invalid, Protected
from queues.desk.operations import Actor
from queues.desk.requests import request_id
from queues.desk.selection import ID_MAX, Selection
from queues.engine import registry

PAGE = 50
FILTER = OpenApiParameter("filter", str, description="As in the list's search box: `error:timeout age>1h`.")
STATUS = OpenApiParameter("status", str, enum=forms.WAYS)
BEFORE = OpenApiParameter("before", int, description="The page of items with smaller ids.")


class AnyQueue:
    """The right to see some queue, whichever there are."""

    def __iter__(self) -> Iterator[str]:
        return (permissions.name("view", queue.model) for queue in registry.all_queues())


SEES = AnyQueue()


class QueueView(APIView):
    """Of one queue, named in the address: looking at it is needed for everything; each act asks for its own right."""

    about = ""
    """What the ledger calls it, where the address names no queue."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Besides what every view asks: the queue named in the address is there, and may be seen."""
        super().initial(request, *args, **kwargs)
        named = self.kwargs.get("queue")
        if named and hasattr(self, (request.method or "").lower()):
            try:
                model = registry.get(named).model
            except LookupError as error:
                raise Http404 from error
            if not permissions.may(request.user, "view", model):
                self.permission_denied(request)

    def act(self, request: Request, name: str, do: Callable[[Actor], Any]) -> Any:
        """Do it as the caller; a refusal is recorded, everything else that may be wrong becomes a problem."""
        actor = Actor.of(cast(AbstractBaseUser, request.user), request_id=request_id(request._request))
        reason = request.data.get("reason", "") if isinstance(request.data, dict) else ""
        try:
            with refusals.noted(
                actor=actor,
                act=name,
                queue=self.kwargs.get("queue", self.about),
                now=timezone.now(),
                reason=str(reason)[:500],
            ):
                return do(actor)
        except PermissionDenied as denied:
            raise exceptions.PermissionDenied(f"{denied}.") from denied
        except grammar.Mistake as mistake:
            raise serializers.ValidationError({"filter": [str(mistake)]}) from mistake
        except parameters.Wrong as wrong:
            raise serializers.ValidationError({"given": {wrong.name: [wrong.why]}}) from wrong
        except operations.ReasonMissing as missing:
            raise serializers.ValidationError({"reason": [str(missing)]}) from missing
        except Protected as protected:
            errors = {f"changes.{name}": ["Protected."] for name in protected.names}
            raise Problem("protected", f"{protected}.", errors=errors) from protected
        except Invalid as invalid:
            raise serializers.ValidationError({"changes": {invalid.name: [invalid.why]}}) from invalid
        except (plans.Stale, run.NotReady) as stale:
            raise Problem("stale", f"{stale}.") from stale

    def valid[Form: serializers.Serializer[Any]](self, request: Request, form: type[Form]) -> Form:
        """The request's form. Raises ValidationError."""
        given = form(data=request.data)
        given.is_valid(raise_exception=True)
        return given


class Queues(QueueView):
    """All queues the caller may see."""

    needs = {"GET": SEES}

    @extend_schema(operation_id="queues", summary="The queues", responses={200: forms.QueuesAnswer, **problems()})
    def get(self, request: Request) -> Response:
        """How each stands."""
        now = timezone.now()
        seen = [queue for queue in registry.all_queues() if permissions.may(request.user, "view", queue.model)]
        return Response({"results": [_standing(figures, request) for figures in overview.figures(seen, now=now)]})


class Items(QueueView):
    """The items of one queue."""

    needs = {"GET": SEES}

    @extend_schema(
        operation_id="queue_items",
        summary="Find items",
        parameters=[FILTER, STATUS, BEFORE],
        responses={200: forms.ItemsAnswer, **problems(400, 404)},
    )
    def get(self, request: Request, queue: str) -> Response:
        """A page of them, newest first."""
        asked, before = request.query_params, before_of(request)
        if (status := asked.get("status", "")) and status not in forms.WAYS:
            raise serializers.ValidationError({"status": [f"One of {', '.join(forms.WAYS)}."]})
        selection = Selection(search=asked.get("filter", ""), status=status)
        model = registry.get(queue).model

        def find(_actor: Actor) -> list[Any]:
            rows = selection.apply(model._default_manager.all(), hinted=True).defer(*plans.heavy(model)).order_by("-pk")
            return list((rows.filter(pk__lt=before) if before else rows)[: PAGE + 1])

        found = self.act(request, "view", find)
        last = found[PAGE - 1].pk if len(found) > PAGE else None
        return Response({"results": forms.ItemAnswer(found[:PAGE], many=True).data, "before": last})


class Plans(QueueView):
    """What an act would touch."""

    needs = {"POST": SEES}

    @extend_schema(
        operation_id="queue_plan",
        summary="Plan an act",
        description="Counts what it would touch and what not, and freezes it: nothing is changed.",
        request=forms.SelectionForm,
        responses={200: forms.PlanAnswer, **problems(400, 404)},
    )
    def post(self, request: Request, queue: str, act: str) -> Response:
        """Look at it."""
        verb, form = _act(act), self.valid(request, forms.SelectionForm)

        def plan(actor: Actor) -> plans.Plan:
            actor.require(verb.name, registry.get(queue).model)
            return plans.make(act=verb, queue=queue, selection=form.selection(), now=timezone.now(), sample=0)

        made = self.act(request, f"plan of {act}", plan)
        said = {"act": act, "count": made.count, "left": made.left, "uncertain": made.uncertain, "more": made.more}
        return Response(said | {"plan": plans.seal(made, for_user=request.user.pk)})


class Acts(QueueView):
    """An act on what was planned."""

    needs = {"POST": SEES}

    @extend_schema(
        operation_id="queue_act",
        summary="Carry a plan out",
        description="Touches exactly what was planned; what changed meanwhile is left alone. Again does nothing.",
        request=forms.ActForm,
        responses={200: forms.ResultAnswer, **problems(400, 404, 409)},
    )
    def post(self, request: Request, queue: str, act: str) -> Response:
        """Do it."""
        verb, said = _act(act), self.valid(request, forms.ActForm).validated_data

        def do(actor: Actor) -> operations.Result:
            actor.require(verb.name, registry.get(queue).model)
            plan = plans.unseal(said["plan"], act=act, queue=queue, for_user=request.user.pk)
            return operations.perform(
                plan=plan, actor=actor, reason=said["reason"], given=said["given"], now=timezone.now()
            )

        return Response(forms.ResultAnswer(self.act(request, act, do)).data)


class Operations(QueueView):
    """Acts on everything that matches."""

    needs = {"GET": SEES, "POST": SEES}

    @extend_schema(
        operation_id="operations",
        summary="The operations",
        parameters=[BEFORE],
        responses={200: forms.OperationsAnswer, **problems(400, 404)},
    )
    def get(self, request: Request, queue: str) -> Response:
        """The newest fifty."""
        rows = Operation.objects.filter(queue=queue).order_by("-pk")
        before = before_of(request)
        found = list((rows.filter(pk__lt=before) if before else rows)[:PAGE])
        return Response({"results": forms.OperationAnswer(found, many=True).data})

    @extend_schema(
        operation_id="operation_prepare",
        summary="Prepare an operation",
        description="Freezes all items an act may touch, up to 100,000. Nothing is changed before it is started.",
        request=forms.PrepareForm,
        responses={201: forms.OperationAnswer, **problems(400, 404)},
    )
    def post(self, request: Request, queue: str) -> Response:
        """Prepare one."""
        form = self.valid(request, forms.PrepareForm)
        said: dict[str, Any] = {"act": form.validated_data["act"], "queue": queue, "selection": form.selection()}
        made = self.act(request, said["act"], lambda actor: freeze.prepare(actor=actor, now=timezone.now(), **said))
        return _told(made, request, status=201)


class OneOperation(QueueView):
    """An operation."""

    needs = {"GET": SEES}

    @extend_schema(
        operation_id="operation", summary="An operation", responses={200: forms.OperationAnswer, **problems(404)}
    )
    def get(self, request: Request, queue: str, pk: int) -> Response:
        """How far it came."""
        return _told(_found(queue, pk), request)


class Start(QueueView):
    """Begins it."""

    needs = {"POST": SEES}

    @extend_schema(
        operation_id="operation_start",
        summary="Start an operation",
        request=forms.StartForm,
        responses={200: forms.OperationAnswer, **problems(400, 404, 409)},
    )
    def post(self, request: Request, queue: str, pk: int) -> Response:
        """Start it."""
        operation, said = _found(queue, pk), self.valid(request, forms.StartForm).validated_data

        def begin(actor: Actor) -> Operation:
            return run.start(operation_id=pk, actor=actor, now=timezone.now(), **said)

        return _told(self.act(request, f"start of {operation.act}", begin), request)


class Abort(QueueView):
    """Stops it."""

    needs = {"POST": SEES}

    @extend_schema(
        operation_id="operation_abort",
        summary="Abort an operation",
        request=forms.ReasonForm,
        responses={200: forms.OperationAnswer, **problems(400, 404, 409)},
    )
    def post(self, request: Request, queue: str, pk: int) -> Response:
        """Abort it."""
        operation, said = _found(queue, pk), self.valid(request, forms.ReasonForm).validated_data

        def stop(actor: Actor) -> Operation:
            return run.abort(operation_id=pk, actor=actor, now=timezone.now(), **said)

        return _told(self.act(request, f"abort of {operation.act}", stop), request)


class Undo(QueueView):
    """Takes it back."""

    needs = {"POST": SEES}

    @extend_schema(
        operation_id="operation_undo",
        summary="Prepare the undoing of an operation",
        description="An operation of its own, to be started like any other.",
        request=None,
        responses={201: forms.OperationAnswer, **problems(404)},
    )
    def post(self, request: Request, queue: str, pk: int) -> Response:
        """Prepare it."""
        operation = _found(queue, pk)
        if operation.undoes_id or not operation.done:
            raise Http404

        def undo(actor: Actor) -> Operation:
            return freeze.prepare_undo(operation_id=pk, actor=actor, now=timezone.now())

        return _told(self.act(request, f"undo of {operation.act}", undo), request, status=201)


def before_of(request: Request) -> int:
    """Where the asked page begins; 0 for the first. Raises ValidationError."""
    before = request.query_params.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) < 20 and int(before) <= ID_MAX):
        raise serializers.ValidationError({"before": ["A whole number."]})
    return int(before or 0)


def _act(name: str) -> acts.Act:
    try:
        return acts.get(name)
    except LookupError as error:
        raise Http404 from error


def _found(queue: str, pk: int) -> Operation:
    operation = Operation.objects.filter(queue=queue, pk=pk).first()
    if operation is None:
        raise Http404
    return operation


def _told(operation: Operation, request: Request, *, status: int = 200) -> Response:
    answer = Response(forms.OperationAnswer(operation).data, status=status)
    answer["Location"] = reverse("api-operation", args=[operation.queue, operation.pk], request=request)
    return answer


def _standing(figures: overview.Figures, request: Request) -> dict[str, Any]:
    model = registry.get(figures.queue).model
    return {
        "name": figures.queue,
        "waiting": str(figures.waiting),
        "retrying": str(figures.retrying),
        "processing": str(figures.running),
        "dead_letters": str(figures.dead),
        "oldest_due_at": figures.oldest_due_at,
        "paused": [pause.kind or "*" for pause in figures.pauses],
        "acts": [act for act in acts.ACTS if permissions.may(request.user, act, model)],
    }
