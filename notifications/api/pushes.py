"""`/api/v1/pushes/`: notify users, see what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Q
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from notifications import push
from notifications.api.push_forms import DeliveryAnswer, PushAnswer, PushedAnswer, PushForm
from notifications.models import PushDelivery
from notifications.sending import content, words
from queues.desk.api import owned
from queues.desk.api.email_forms import ProblemAnswer
from queues.desk.api.problems import Problem

READ = ("notifications.add_pushdelivery", "notifications.view_pushdelivery")
"""Who may push may read what it pushed; who may view may read all."""
PAGE = 100
AFTER_MAX = 18
"""Digits of an id."""

KEY_HEADER = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Same key, same push, for ever: a repeated request reaches nobody twice, and answers with "
    "`Idempotent-Replayed: true`. 1 to 200 printable ASCII characters. Keys of different users do not meet.",
)
AFTER = OpenApiParameter("after", int, description="Id of the last delivery of the page before.")
STATE = OpenApiParameter("state", str, enum=list(words.WORDS), description="Only deliveries in this state.")


def _said(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    answer = OpenApiResponse(ProblemAnswer, description="application/problem+json")
    return {(status, "application/problem+json"): answer for status in (401, 403, *statuses)}


class Pushes(APIView):
    """All pushes."""

    needs = {"POST": ("notifications.add_pushdelivery",)}

    @extend_schema(
        operation_id="push_send",
        summary="Push to users",
        description="Stores one delivery for each device of the users and answers at once. Users who do not want the "
        "category get nothing; in their quiet hours it waits for the end of them, unless it is urgent.",
        parameters=[KEY_HEADER],
        request=PushForm,
        responses={202: PushedAnswer, **_said(400, 413, 415, 422, 503)},
    )
    def post(self, request: Request) -> Response:
        """Store a push to be sent."""
        form = PushForm(data=request.data)
        form.is_valid(raise_exception=True)
        key = owned.key_for(user=request.user, given=request.headers.get("Idempotency-Key"))
        users, unknown = _users(form.validated_data["users"])
        try:
            with transaction.atomic():
                made = push.notify(users=users, key=key, now=timezone.now(), **form.wished())
        except content.Invalid as error:
            raise serializers.ValidationError({error.field: [error.reason]}) from error
        except push.KeyConflict as error:
            raise Problem("idempotency_key_reused", "It stands for another push; take a new key.") from error
        said = {name: getattr(made, name) for name in ("push_id", "deliveries", "deferred", "suppressed", "no_device")}
        answer = Response(PushedAnswer(said | {"unknown_users": unknown}).data, status=202)
        if made.deliveries or made.suppressed:
            answer["Location"] = reverse("api-push", args=[made.push_id], request=request)
        if made.repeated:
            answer["Idempotent-Replayed"] = "true"
        return answer


class Push(APIView):
    """One push."""

    needs = {"GET": READ}

    @extend_schema(
        operation_id="push_state",
        summary="The state of a push",
        description=f"Its deliveries by state, and {PAGE} of them, by `after` the next ones. A push that found no "
        "device has none, and is not kept.",
        parameters=[AFTER, STATE],
        responses={200: PushAnswer, **_said(400, 404)},
    )
    def get(self, request: Request, push_id: Any) -> Response:
        """Counts, and a page of deliveries."""
        rows: Any = PushDelivery.objects.filter(_readable(request.user), push_id=push_id)
        first: PushDelivery | None = rows.order_by("pk").first()
        if first is None:
            raise Http404
        after, state = _asked(request)
        page = rows.filter(pk__gt=after).annotate(word=words.EXPRESSION).order_by("pk")
        if state:
            page = page.filter(word=state)
        shown: list[PushDelivery] = list(page[: PAGE + 1])
        counts = rows.annotate(word=words.EXPRESSION).order_by().values_list("word").annotate(Count("pk"))
        return Response(
            {
                "push_id": str(push_id),
                "created_at": first.created_at,
                "category": first.kind,
                "campaign": first.campaign,
                "counts": dict(counts),
                "deliveries": [DeliveryAnswer(each).data for each in shown[:PAGE]],
                "next": _next(request, push_id, shown, state) if len(shown) > PAGE else None,
            }
        )


def _users(named: Sequence[int | str]) -> tuple[list[int], int]:
    """The ids of those there are, in the order they were named, and how many there are not."""
    wanted = list(dict.fromkeys(named))
    ids = set(
        User.objects.filter(pk__in=[each for each in wanted if isinstance(each, int)]).values_list("pk", flat=True)
    )
    names = [each for each in wanted if isinstance(each, str)]
    by_name = dict(User.objects.filter(username__in=names).values_list("username", "pk"))
    found = [by_name.get(each) if isinstance(each, str) else each if each in ids else None for each in wanted]
    return [each for each in found if each is not None], found.count(None)


def _readable(user: Any) -> Q:
    """Which pushes the user may see: all with `notifications.view_pushdelivery`, else those it sent."""
    if user.has_perm("notifications.view_pushdelivery"):
        return Q()
    return Q(idempotency_key__startswith=owned.namespace(user))


def _asked(request: Request) -> tuple[int, str]:
    after, state = request.query_params.get("after", "0"), request.query_params.get("state", "")
    errors: dict[str, list[str]] = {}
    if not (after.isascii() and after.isdigit() and len(after) <= AFTER_MAX):
        errors["after"] = ["The id of a delivery."]
    if state and state not in words.WORDS:
        errors["state"] = [f"One of {', '.join(words.WORDS)}."]
    if errors:
        raise serializers.ValidationError(errors)
    return int(after), state


def _next(request: Request, push_id: Any, shown: Sequence[PushDelivery], state: str) -> str:
    address = f"{reverse('api-push', args=[push_id], request=request)}?after={shown[PAGE - 1].pk}"
    return f"{address}&state={state}" if state else address
