"""The overview: the reader's campaigns with their main figures, each with its own badge; in pages by cursor."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.views import redirect_to_login
from django.db import DatabaseError, InterfaceError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from analytics import access, board, header, mirror, outage, periods
from analytics.header import Header
from analytics.models import Campaign
from analytics.panels.page import SUMMARY
from analytics.periods import Asked, BadRange
from queues.engine import log

PAGE = 20

logger = log.get(__name__)


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """My campaigns."""
    now = timezone.now()
    if not outage.is_on(request) and not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    asked = _asked(request, now)
    boards, after, offline = _boards(request, asked, now)
    if boards is None:
        return outage.away(request)
    context = {
        "boards": boards,
        "after": after,
        "asked": asked,
        "presets": periods.PRESETS,
        "offline": offline,
        "now": now,
        "later": "after" in request.GET,
    }
    answer = render(request, "analytics/overview.html", context)
    return answer if offline else outage.leave_pass(request, answer)


def _asked(request: HttpRequest, now: datetime) -> Asked:
    """Whole days only: the campaigns may have different time zones."""
    try:
        return periods.read({"days": request.GET.get("days", "30")}, zone=ZoneInfo("UTC"), now=now)
    except BadRange:
        return Asked()


def _boards(request: HttpRequest, asked: Asked, now: datetime) -> tuple[list[board.Board] | None, int | None, bool]:
    """The boards, the id the next page begins after, and whether they come from disk."""
    if not outage.is_on(request):
        try:
            rows = _page(request)
            shown = [header.of(row) for row in rows[:PAGE]]
            more = rows[PAGE - 1].pk if len(rows) > PAGE else None
            return board.build_many(headers=shown, asked=asked, now=now), more, False
        except (DatabaseError, InterfaceError):
            logger.exception("analytics.overview_failed")
    held = outage.holder(request)
    if held is None:
        return None, None, True
    known: list[Header] = mirror.headers_for(user_id=held.user_id, staff=held.staff)[:PAGE]
    saved = [board.saved(header=each, asked=asked, chosen={}, names=(SUMMARY,), now=now) for each in known]
    return saved, None, True


def _page(request: HttpRequest) -> list[Campaign]:
    """By name and id, one more than a page; behind the campaign that `?after=` names, if it is one of theirs."""
    mine: Any = access.visible(request.user).order_by("name", "id")
    text = request.GET.get("after", "")
    if text.isascii() and text.isdigit() and len(text) < 19:
        last = access.visible(request.user).filter(pk=int(text)).first()
        if last is not None:
            mine = mine.filter(Q(name__gt=last.name) | Q(name=last.name, pk__gt=last.pk))
    return list(mine[: PAGE + 1])
