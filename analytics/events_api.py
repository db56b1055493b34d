"""`/api/v1/events/`: a batch of events, answered one by one."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any, cast

from django.contrib.auth.models import User
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics import intake
from analytics.models import Kind
from queues.desk.api.email_forms import ProblemAnswer
from queues.desk.api.problems import Problem
from queues.desk.api.strict_json import StrictJSONParser

EVENTS_MAX = 500
BODY_MAX = 500_000
"""Octets of one batch."""


class BatchParser(StrictJSONParser):
    """JSON of at most `BODY_MAX` octets."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The value in the body. Raises Problem."""
        raw = stream.read(BODY_MAX + 1)
        if len(raw) > BODY_MAX:
            raise Problem("too_large", f"More than {BODY_MAX:,} octets; send smaller batches.")
        return super().parse(io.BytesIO(raw), media_type, parser_context)


class EventForm(serializers.Serializer[Any]):
    """One event (for the schema; `judge` reads it)."""

    event_id = serializers.UUIDField(help_text="Its own id; sending it again with the same id changes nothing")
    campaign = serializers.IntegerField()
    creative = serializers.CharField(required=False, help_text="The creative's key")
    kind = serializers.ChoiceField(choices=Kind.choices)
    occurred_at = serializers.DateTimeField(help_text="At most 5 minutes ahead and 90 days ago")
    cost_micros = serializers.IntegerField(required=False, help_text="1,000,000 is one unit of the currency")
    revenue_micros = serializers.IntegerField(required=False, help_text="Of a conversion")
    country = serializers.CharField(required=False, help_text="ISO 3166: DE")
    device = serializers.CharField(required=False, help_text="desktop, mobile, tablet, tv, other")
    channel = serializers.CharField(required=False, help_text="search, social, display, video, email, affiliate, other")
    visitor = serializers.CharField(required=False, help_text="A pseudonym; joins clicks and conversions")
    viewable = serializers.BooleanField(required=False, help_text="Of an impression, if it was measured")
    user_agent = serializers.CharField(required=False, help_text="Judged (robots are not counted), not stored")
    prefetch = serializers.BooleanField(required=False, help_text="Loaded ahead and perhaps never seen: not counted")


class BatchForm(serializers.Serializer[Any]):
    """A batch."""

    events = serializers.ListField(child=EventForm(), max_length=EVENTS_MAX)


class ResultAnswer(serializers.Serializer[Any]):
    """What became of one event."""

    event_id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=["accepted", "duplicate", "rejected"])
    reason = serializers.CharField(required=False, help_text="Of a rejection: `in_the_future`, `unknown_campaign`, …")
    detail = serializers.CharField(required=False)
    drop_reason = serializers.CharField(required=False, help_text="Kept but not counted: `bot`, `prefetch`, …")


class BatchAnswer(serializers.Serializer[Any]):
    """What became of the batch."""

    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = serializers.IntegerField()
    results = ResultAnswer(many=True)


class Events(APIView):
    """Events of the caller's campaigns."""

    parser_classes = [BatchParser]
    needs = {"POST": ("analytics.add_event", "analytics.record_any_event")}

    @extend_schema(
        operation_id="events_record",
        summary="Record analytics events",
        description=f"Up to {EVENTS_MAX} events or 500 kB. Answers 200 after they are stored, one result an event, in "
        "order. The same batch again changes nothing, so after an error or a time-out simply send it again.",
        request=BatchForm,
        responses={
            200: BatchAnswer,
            **{
                (status, "application/problem+json"): OpenApiResponse(ProblemAnswer)
                for status in (400, 401, 403, 413, 415, 503)
            },
        },
    )
    def post(self, request: Request) -> Response:
        """Record them."""
        body = request.data
        events = body.get("events") if isinstance(body, dict) else None
        if not isinstance(events, list):
            raise serializers.ValidationError({"events": ["A list of events."]})
        if unknown := sorted(set(body) - {"events"}):
            raise serializers.ValidationError({unknown[0][:100]: ["There is no such field."]})
        if len(events) > EVENTS_MAX:
            raise Problem("too_large", f"More than {EVENTS_MAX} events; send smaller batches.")
        answers = intake.record(events=events, user=cast(User, request.user), now=timezone.now())
        counts = Counter(answer.status for answer in answers)
        return Response(
            {
                "accepted": counts["accepted"],
                "duplicates": counts["duplicate"],
                "rejected": counts["rejected"],
                "results": [_told(answer) for answer in answers],
            }
        )


def _told(answer: intake.Answer) -> dict[str, Any]:
    told: dict[str, Any] = {"event_id": answer.event_id, "status": answer.status}
    if answer.reason:
        told |= {"reason": answer.reason, "detail": answer.words}
    if answer.drop_reason:
        told["drop_reason"] = answer.drop_reason
    return told
