"""`/api/v1/campaigns/<id>/panels/`: the figures as JSON, with their age, and refreshing them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics import access, board, freshness, guard, header, mirror, outage, periods, refreshing
from analytics.board import Board
from analytics.header import Header
from analytics.panels.page import PANELS
from analytics.panels.panel import BadOption
from analytics.periods import Asked, BadRange
from analytics.showing import Shown
from queues.desk.api import problems
from queues.desk.api.email_forms import ProblemAnswer
from queues.desk.api.problems import Problem

CODES = {
    "range_invalid": (422, "These days cannot be shown"),
    "no_figures": (503, "There are no figures to show yet"),
}
problems.CODES.update(CODES)
RETRY_SECONDS = 10
TITLES = {
    "query_timeout": "The query took longer than 5 seconds",
    "database_unreachable": "The database is not answering",
    "fuse_open": "The database is not answering",
    "offline": "The database is not answering",
    "not_a_payload": "The query answered with something else",
    "internal": "Something went wrong on our side",
}

DAYS = OpenApiParameter("days", int, description="The last so many days, up to 90; by default 30.")
FROM = OpenApiParameter("from", str, description="First day (2026-03-01), with `to`; instead of `days`.")
TO = OpenApiParameter("to", str, description="Last day.")
NAMES = OpenApiParameter("names", str, description=f"Panels, by commas; by default all: {', '.join(PANELS)}.")
SAID = {(status, "application/problem+json"): OpenApiResponse(ProblemAnswer) for status in (401, 404, 422, 503)}


class Unavailable(Problem):
    """503 or 429 with when to try again."""

    def __init__(self, code: str, detail: str, *, seconds: int) -> None:
        super().__init__(code, detail)
        self.seconds = seconds


class PanelAnswer(serializers.Serializer[Any]):
    """One panel."""

    panel = serializers.CharField()
    title = serializers.CharField()
    state = serializers.ChoiceField(choices=list(freshness.STATES))
    as_of = serializers.DateTimeField(allow_null=True, help_text="Everything recorded before this is included")
    computed_at = serializers.DateTimeField(allow_null=True)
    age_seconds = serializers.IntegerField(allow_null=True)
    stale_after_seconds = serializers.IntegerField()
    next_refresh_at = serializers.DateTimeField()
    source = serializers.ChoiceField(choices=["rollup", "snapshot"])  # type: ignore[assignment]  # a field's name
    attempts = serializers.IntegerField()
    data = serializers.JSONField(  # type: ignore[assignment]
        allow_null=True, help_text="null, or the panel's figures; a null ratio has a `reason`"
    )
    comparison = serializers.JSONField(allow_null=True, help_text="`basis`: `same hours` or `full period`")
    notes = serializers.JSONField(help_text="[{`code`, `text`}]")
    problem = serializers.JSONField(allow_null=True, help_text="Why the last refresh failed")


class PanelsAnswer(serializers.Serializer[Any]):
    """All panels that were asked for."""

    campaign = serializers.IntegerField()
    name = serializers.CharField()
    currency = serializers.CharField()
    time_zone = serializers.CharField()
    panels = PanelAnswer(many=True)


class Reader(IsAuthenticated):
    """Somebody who is logged in; or, while the database cannot say who it is, anybody: the pass is asked instead."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether the method may run."""
        return outage.is_on(request._request) or super().has_permission(request, view)


@dataclass(frozen=True, slots=True)
class Found:
    """A campaign the caller may look at, and whether that was found out on this machine's disk."""

    header: Header
    offline: bool = False


class _Campaigns(APIView):
    """What a person or program may see is theirs: owner, member, or staff with `analytics.view_campaign`."""

    permission_classes = [Reader]

    def found(self, request: Request, pk: int) -> Found:
        """The campaign. Raises Http404 for one that is not theirs, Problem where nobody can say."""
        if outage.is_on(request._request):
            held = outage.holder(request._request)
            if held is None:
                raise Unavailable("unavailable", "The database is not answering.", seconds=outage.RETRY_SECONDS)
            saved = mirror.read_header(pk, user_id=held.user_id, staff=held.staff)
            if saved is None:
                raise Http404
            return Found(saved, offline=True)
        campaign = access.visible(request.user).filter(pk=pk).first()
        if campaign is None:
            raise Http404
        return Found(header.of(campaign))

    def asked(self, request: Request, known: Header, *, now: datetime) -> Asked:
        """The days. Raises Problem."""
        try:
            return periods.read(request.query_params, zone=known.zone, now=now)
        except BadRange as error:
            raise Problem("range_invalid", str(error)) from error

    def board(self, request: Request, pk: int, names: list[str]) -> Board:
        """The panels. Raises Problem."""
        now = timezone.now()
        found = self.found(request, pk)
        asked = self.asked(request, found.header, now=now)
        if unknown := [name for name in names if name not in PANELS]:
            raise Problem("range_invalid", f"There is no panel {unknown[0][:50]!r}.")
        try:
            chosen = {name: PANELS[name].chosen(request.query_params) for name in names}
        except BadOption as error:
            raise Problem("range_invalid", str(error), errors={error.name[:100]: [str(error)]}) from error
        return board.build_or_saved(
            header=found.header,
            asked=asked,
            chosen=chosen,
            names=names,
            now=now,
            each=guard.BUDGET,
            offline=found.offline,
        )

    def handle_exception(self, exc: Exception) -> Response:
        """With Retry-After where there is one."""
        response = super().handle_exception(exc)
        if isinstance(exc, Unavailable):
            response["Retry-After"] = str(exc.seconds)
        return response


class Panels(_Campaigns):
    """Panels of a campaign."""

    @extend_schema(
        operation_id="campaign_panels",
        summary="The figures of a campaign",
        description="200 whenever there is something to show, also saved copies; 503 only when there is nothing.",
        parameters=[NAMES, DAYS, FROM, TO],
        responses={200: PanelsAnswer, **SAID},
    )
    def get(self, request: Request, pk: int) -> Response:
        """Several panels; each is a result of its own."""
        names = list(dict.fromkeys(request.query_params.get("names", ",".join(PANELS)).split(",")))
        return _answer(request, self.board(request, pk, names))


class OnePanel(_Campaigns):
    """One panel of a campaign."""

    @extend_schema(
        operation_id="campaign_panel",
        summary="One panel of a campaign",
        parameters=[DAYS, FROM, TO],
        responses={200: PanelAnswer, **SAID},
    )
    def get(self, request: Request, pk: int, name: str) -> Response:
        """The panel."""
        if name not in PANELS:
            raise Http404
        return _answer(request, self.board(request, pk, [name]), single=True)


class Refresh(_Campaigns):
    """Refreshing on wish."""

    @extend_schema(
        operation_id="campaign_refresh",
        summary="Refresh a campaign's figures",
        description="At most once in 15 seconds for each user and campaign; 429 says when again.",
        parameters=[DAYS, FROM, TO],
        request=None,
        responses={202: None, **SAID, (429, "application/problem+json"): OpenApiResponse(ProblemAnswer)},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Do it."""
        now = timezone.now()
        found = self.found(request, pk)
        if found.offline:
            raise Unavailable("unavailable", "The database is not answering.", seconds=outage.RETRY_SECONDS)
        known = found.header
        asked = self.asked(request, known, now=now)
        said = refreshing.now(user_id=request.user.pk or 0, header=known, asked=asked, now=now)
        if said != "done":
            seconds = int(said.partition("-")[2])
            raise Unavailable("throttled", f"Just refreshed. Again in {seconds} s.", seconds=seconds)
        return Response({"next_possible_in_seconds": 15}, status=202)


def _answer(request: Request, shown: Board, *, single: bool = False) -> Response:
    if not any(each.payload for each in shown.panels):
        raise Unavailable("no_figures", "The first figures appear within a minute.", seconds=RETRY_SECONDS)
    panels = [_told(each, shown) for each in shown.panels]
    body: dict[str, Any] = panels[0]
    if not single:
        known = shown.header
        body = {
            "campaign": known.id,
            "name": known.name,
            "currency": known.currency,
            "time_zone": known.time_zone,
            "panels": panels,
        }
    moving = [{name: value for name, value in each.items() if name not in MOVING} for each in panels]
    tag = hashlib.sha256(json.dumps(moving, sort_keys=True, default=str).encode()).hexdigest()[:32]
    answer = Response(status=304) if request.headers.get("If-None-Match") == f'"{tag}"' else Response(body)
    answer["ETag"] = f'"{tag}"'
    ages = [each["age_seconds"] for each in panels if each["age_seconds"] is not None]
    answer["Age"] = str(max(ages, default=0))
    codes = sorted({each.code for each in shown.panels if each.code})
    hit = "hit" if all(each.source == "snapshot" for each in shown.panels) else "fwd=stale; stored"
    answer["Cache-Status"] = f"panels; {hit}" + "".join(f"; detail={code}" for code in codes[:1])
    return answer


MOVING = ("age_seconds", "next_refresh_at", "attempts", "source", "computed_at")
"""What changes while the figures do not."""


def _told(shown: Shown, whole: Board) -> dict[str, Any]:
    notes = []
    if shown in whole.apart:
        notes.append({"code": "other_moment", "text": "Other panels go up to a later moment."})
    if shown.other_days:
        notes.append({"code": "other_days", "text": f"These figures are for {shown.other_days}."})
    payload = dict(shown.payload) if shown.payload else None
    comparison = payload.pop("comparison", None) if payload else None
    problem = None
    if shown.code:
        title = TITLES.get(shown.code, TITLES["internal"])
        detail, reference = shown.badge.cause, shown.badge.reference
        problem = {"code": shown.code, "title": title, "detail": detail, "reference": reference}
    return {
        "panel": shown.panel.name,
        "title": shown.panel.title,
        "state": shown.badge.state,
        "as_of": shown.as_of,
        "computed_at": shown.computed_at,
        "age_seconds": int((whole.now - shown.as_of).total_seconds()) if shown.as_of else None,
        "stale_after_seconds": int(freshness.FRESH_FOR.total_seconds()),
        "next_refresh_at": shown.next_try_at or whole.now + freshness.EVERY,
        "source": shown.source,
        "attempts": shown.attempts,
        "data": payload,
        "comparison": comparison,
        "notes": notes,
        "problem": problem,
    }
