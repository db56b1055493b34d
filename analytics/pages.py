"""The pages: a campaign, each of its panels by itself (as HTML and CSV), and the refresh button."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from analytics import access, banner, board, guard, header, mirror, outage, periods, refreshing, retention, words
from analytics.board import Board
from analytics.header import Header
from analytics.panels.page import PANELS
from analytics.panels.panel import BadOption
from analytics.periods import Asked, BadRange
from queues.engine import log

FORMULA = ("=", "+", "-", "@", "\t", "\r")

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Entrance:
    """A reader who may look at this campaign."""

    header: Header
    offline: bool = False


def enter(request: HttpRequest, pk: int, *, now: datetime) -> Entrance | HttpResponse:
    """Let the reader in, or the answer that sends them away. Raises Http404 for a campaign that is not theirs.

    Permission comes before any figures, also before those on disk.
    """
    if not outage.is_on(request):
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        try:
            campaign = access.visible(request.user).filter(pk=pk).first()
            if campaign is None:
                raise Http404
            found = header.of(campaign)
            if mirror.header_is_old(pk, now=now):
                allowed = {campaign.owner_id, *campaign.members.values_list("pk", flat=True)}
                mirror.write_header(found, allowed=allowed, now=now)
            return Entrance(found)
        except (DatabaseError, InterfaceError):
            logger.exception("analytics.entrance_failed")
    held = outage.holder(request)
    if held is None:
        return outage.away(request)
    saved = mirror.read_header(pk, user_id=held.user_id, staff=held.staff)
    if saved is None:
        raise Http404
    return Entrance(saved, offline=True)


@require_safe
def campaign(request: HttpRequest, pk: int) -> HttpResponse:
    """A campaign with all its panels."""
    now = timezone.now()
    entrance = enter(request, pk, now=now)
    if isinstance(entrance, HttpResponse):
        return entrance
    try:
        asked = periods.read(request.GET, zone=entrance.header.zone, now=now)
        chosen = {name: panel.chosen(request.GET) for name, panel in PANELS.items()}
    except (BadRange, BadOption) as error:
        return _refused(request, entrance, error, now)
    shown = _board(entrance, asked, chosen, now=now)
    context = _context(request, shown, entrance.offline) | {
        "banner": banner.of(shown),
        "presets": periods.PRESETS,
        "said": request.GET.get("said", ""),
    }
    return _answer(request, render(request, "analytics/campaign.html", context), offline=shown.offline)


@require_safe
def campaign_banner(request: HttpRequest, pk: int) -> HttpResponse:
    """The banner alone, for a page that is open."""
    now = timezone.now()
    entrance = enter(request, pk, now=now)
    if isinstance(entrance, HttpResponse):
        return entrance
    try:
        asked = periods.read(request.GET, zone=entrance.header.zone, now=now)
        chosen = {name: panel.chosen(request.GET) for name, panel in PANELS.items()}
    except (BadRange, BadOption) as error:
        return HttpResponse(str(error), status=422, content_type="text/plain; charset=utf-8")
    shown = _board(entrance, asked, chosen, now=now)
    context = _context(request, shown, entrance.offline) | {"banner": banner.of(shown)}
    return render(request, "analytics/banner.html", context)


@require_safe
def panel(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """One panel as a fragment, refreshed with all the time a query may take."""
    now = timezone.now()
    found = _one(request, pk, name, now, each=guard.BUDGET)
    if isinstance(found, HttpResponse):
        return found
    context = _context(request, found, found.offline) | {"shown": found.panels[0]}
    return _answer(request, render(request, "analytics/panel.html", context), offline=found.offline)


@require_safe
def panel_csv(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """What the panel shows, as a table for a spreadsheet."""
    now = timezone.now()
    found = _one(request, pk, name, now, each=guard.BUDGET)
    if isinstance(found, HttpResponse):
        return found
    shown = found.panels[0]
    if shown.payload is None:
        words = "There are no figures to export yet. Please try again in half a minute."
        return HttpResponse(
            words, status=503, content_type="text/plain; charset=utf-8", headers={"Retry-After": outage.RETRY_SECONDS}
        )
    head, rows = shown.panel.table(shown.payload)
    text = io.StringIO()
    writer = csv.writer(text)
    zone, until = found.header.zone, shown.as_of or now
    writer.writerow([_safe(found.header.name), shown.panel.title, f"{shown.payload['from']} to {shown.payload['to']}"])
    writer.writerow([f"{shown.badge.word}", f"includes everything recorded by {until.astimezone(zone).isoformat()}"])
    writer.writerow(head)
    writer.writerows([[_cell(cell) for cell in row] for row in rows])
    answer = HttpResponse("\ufeff" + text.getvalue(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="campaign-{pk}-{name}.csv"'
    return answer


@require_POST
def refresh(request: HttpRequest, pk: int) -> HttpResponse:
    """Fetch everything anew, at most once in 15 s; then back to the page, which says how it went."""
    now = timezone.now()
    entrance = enter(request, pk, now=now)
    if isinstance(entrance, HttpResponse):
        return entrance
    back = reverse("analytics:campaign", args=[pk])
    try:
        asked = periods.read(request.POST, zone=entrance.header.zone, now=now)
    except BadRange:
        return redirect(back)
    said = "offline"
    if not entrance.offline:
        try:
            said = refreshing.now(user_id=request.user.pk or 0, header=entrance.header, asked=asked, now=now)
        except (DatabaseError, InterfaceError):
            logger.exception("analytics.refresh_failed")
    return redirect(f"{back}?{asked.query}&said={said}")


def _one(request: HttpRequest, pk: int, name: str, now: datetime, *, each: timedelta) -> Board | HttpResponse:
    entrance = enter(request, pk, now=now)
    if isinstance(entrance, HttpResponse):
        return entrance
    if name not in PANELS:
        raise Http404
    try:
        asked = periods.read(request.GET, zone=entrance.header.zone, now=now)
        chosen = {name: PANELS[name].chosen(request.GET)}
    except (BadRange, BadOption) as error:
        return HttpResponse(str(error), status=422, content_type="text/plain; charset=utf-8")
    return _board(entrance, asked, chosen, now=now, names=(name,), each=each)


def _board(entrance: Entrance, asked: Asked, chosen: Mapping[str, Mapping[str, str]], **more: Any) -> Board:
    return board.build_or_saved(header=entrance.header, asked=asked, chosen=chosen, offline=entrance.offline, **more)


def _context(request: HttpRequest, shown: Board, offline: bool) -> dict[str, Any]:
    """`plain`: the frame of the page must not ask who is logged in."""
    return {
        "board": shown,
        "header": shown.header,
        "asked": shown.asked,
        "days": periods.words(shown.period.first, shown.period.last),
        "plain": offline or shown.offline,
        "query": request.GET.urlencode(),
        "not_rechecked_before": _not_rechecked(shown),
        "until": words.clock(shown.cut, shown.header.zone, now=shown.now) if shown.cut else "",
    }


def _not_rechecked(shown: Board) -> date | None:
    """Before which of the days shown nothing can be worked out anew, because raw events are kept no longer."""
    first = retention.checkable_from(shown.header.raw_from)
    return first if first > shown.period.first else None


def _refused(request: HttpRequest, entrance: Entrance, error: Exception, now: datetime) -> HttpResponse:
    context = {
        "header": entrance.header,
        "error": error,
        "offer": getattr(error, "offer", "") or "days=30",
        "offer_words": getattr(error, "offer_words", "") or "Show the last 30 days",
        "presets": periods.PRESETS,
        "plain": entrance.offline,
        "given": request.GET,
    }
    return render(request, "analytics/refused.html", context, status=422)


def _answer(request: HttpRequest, response: HttpResponse, *, offline: bool) -> HttpResponse:
    return response if offline or outage.is_on(request) else outage.leave_pass(request, response)


def _cell(cell: Any) -> str:
    if isinstance(cell, tuple):
        return words.plain(*cell)
    return _safe("" if cell is None else str(cell))


def _safe(text: str) -> str:
    """A name must not become a formula in the reader's spreadsheet."""
    return f"'{text}" if text.startswith(FORMULA) else text
