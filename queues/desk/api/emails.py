"""`/api/v1/emails/`: post a mail, see what became of it."""

from __future__ import annotations

from typing import Any, cast

from django.db import transaction
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from queues.desk.api import owned
from queues.desk.api.email_forms import EmailAnswer, EmailDetailAnswer, EmailForm, EmailListAnswer, ProblemAnswer
from queues.desk.api.problems import Problem
from queues.email import emails
from queues.email.models import EmailMessage
from queues.engine.attempts import Attempt

HISTORY_MAX = 100
READ = ("queues.add_emailmessage", "queues.view_emailmessage")
"""Who may post may read what it posted; who may view may read all."""

KEY_HEADER = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Same key, same mail, for ever: a repeated request answers with the first one's mail and "
    "`Idempotent-Replayed: true`. 1 to 200 printable ASCII characters. Keys of different users do not meet.",
)
KEY_QUERY = OpenApiParameter("idempotency_key", str, required=True, description="The key the mail was posted with.")


def problems(*statuses: int) -> dict[int | str, OpenApiResponse]:
    """The error answers of an operation, for the schema."""
    answer = OpenApiResponse(ProblemAnswer, description="application/problem+json")
    return {(status, "application/problem+json"): answer for status in (401, 403, *statuses)}  # type: ignore[misc]


class Emails(APIView):
    """All mails a program may see."""

    needs = {"POST": ("queues.add_emailmessage",), "GET": READ}

    @extend_schema(
        operation_id="email_send",
        summary="Send a mail",
        description="Stores the mail and answers at once; it is sent within seconds, retried, and never lost.",
        parameters=[KEY_HEADER],
        request=EmailForm,
        responses={202: EmailAnswer, **problems(400, 413, 415, 422, 503)},
    )
    def post(self, request: Request) -> Response:
        """Store a mail to be sent."""
        form = EmailForm(data=request.data)
        form.is_valid(raise_exception=True)
        key = owned.key_for(user=request.user, given=request.headers.get("Idempotency-Key"))
        try:
            with transaction.atomic():
                message = emails.enqueue(**form.wished(), idempotency_key=key, now=timezone.now())
        except emails.Invalid as error:
            raise serializers.ValidationError({error.field: [error.reason]}) from error
        except emails.KeyConflict as error:
            raise Problem("idempotency_key_reused", "It stands for another mail; take a new key.") from error
        answer = Response(_state(message), status=202)
        answer["Location"] = reverse("api-email", args=[message.pk], request=request)
        if getattr(message, "repeated", False):
            answer["Idempotent-Replayed"] = "true"
        return answer

    @extend_schema(
        operation_id="email_find",
        summary="Find a mail by its key",
        parameters=[KEY_QUERY],
        responses={200: EmailListAnswer, **problems(400)},
    )
    def get(self, request: Request) -> Response:
        """The mail that was posted with a key."""
        key = request.query_params.get("idempotency_key", "")
        if not key or "\x00" in key:
            raise serializers.ValidationError({"idempotency_key": ["Say which key."]})
        message = owned.by_key(user=request.user, key=key)
        return Response({"results": [_state(message)] if message is not None else []})


class Email(APIView):
    """One mail."""

    needs = {"GET": READ}

    @extend_schema(
        operation_id="email_state",
        summary="The state of a mail",
        description="With all its attempts and what the provider reported.",
        responses={200: EmailDetailAnswer, **problems(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        """The mail with its history."""
        found = EmailMessage.objects.filter(owned.readable(request.user), pk=pk).first()
        if found is None:
            raise Http404
        message = cast(EmailMessage, found)
        return Response(_state(message) | _history(message))


def _state(message: EmailMessage) -> dict[str, Any]:
    return dict(EmailAnswer(message).data) | {"idempotency_key": owned.shown_key(message.idempotency_key)}


def _history(message: EmailMessage) -> dict[str, Any]:
    runs = Attempt.objects.filter(queue=emails.QUEUE, item_id=message.pk).order_by("-pk")[:HISTORY_MAX]
    reports = message.tracking.order_by("-at", "-pk")[:HISTORY_MAX]
    fields = EmailDetailAnswer().fields
    return {
        "attempts": fields["attempts"].to_representation(list(runs)[::-1]),
        "tracking": fields["tracking"].to_representation(list(reports)[::-1]),
    }
