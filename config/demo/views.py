"""The catcher's pages: inbox, one mail, and the switch that makes it misbehave."""

from __future__ import annotations

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.utils.text import get_valid_filename
from django.views.decorators.http import require_POST, require_safe

from config.demo import letter as letters
from config.demo.catcher import mailbox_file
from config.demo.mailbox import MODES, PAGE, Mail, Mailbox

LIVE = "5"
"""Seconds between two looks with ?live=1."""
FRAME_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"
"""Mail is a stranger's page: no scripts, no requests, no access to ours."""


@require_safe
def inbox(request: HttpRequest) -> HttpResponse:
    """The newest mails; `?before=<id>` for older ones, `?live=1` to look again every few seconds."""
    before = request.GET.get("before", "")
    mails = mailbox().page(before=int(before) if before.isdecimal() and len(before) < 18 else None)
    live = request.GET.get("live") == "1"
    context = {
        "mails": mails[:PAGE],
        "older": mails[PAGE - 1].pk if len(mails) > PAGE else None,
        "newest": not before,
        "count": mailbox().count(),
        "state": mailbox().state(),
        "modes": MODES,
        "server": (settings.EMAIL_DELIVERY_URL or [""])[0],
        "live": live,
    }
    response = render(request, "demo/inbox.html", context)
    if live:
        response.headers["Refresh"] = LIVE
    return response


@require_POST
def mode(request: HttpRequest) -> HttpResponse:
    """Tell the catcher what to do from now on."""
    wanted = request.POST.get("mode", "")
    if wanted not in MODES:
        return HttpResponseBadRequest("There is no such mode.", content_type="text/plain")
    mailbox().set_mode(wanted)
    return redirect("demo:inbox")


@require_POST
def empty(request: HttpRequest) -> HttpResponse:
    """Forget all mails."""
    mailbox().empty()
    return redirect("demo:inbox")


@require_safe
def letter(request: HttpRequest, pk: int) -> HttpResponse:
    """One mail."""
    mail, raw = found(pk)
    return render(request, "demo/letter.html", {"mail": mail, "letter": letters.read(raw)})


@require_safe
def html(request: HttpRequest, pk: int) -> HttpResponse:
    """The HTML of one mail, for the sandboxed frame on its page."""
    page = letters.read(found(pk)[1]).html
    return HttpResponse(page, headers={"Content-Security-Policy": FRAME_POLICY, "Referrer-Policy": "no-referrer"})


@require_safe
def source(request: HttpRequest, pk: int) -> HttpResponse:
    """The bytes of one mail, to be saved."""
    return download(found(pk)[1], name=f"mail-{pk}.eml", kind="message/rfc822")


@require_safe
def attachment(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """One attachment, to be saved, never shown: its type is a stranger's word."""
    parts = letters.read(found(pk)[1]).attachments
    if number >= len(parts):
        raise Http404
    return download(parts[number].data, name=parts[number].name, kind="application/octet-stream")


def found(pk: int) -> tuple[Mail, bytes]:
    """Return a mail and its bytes; raises Http404."""
    mail = mailbox().get(pk) if pk < 2**62 else None
    if mail is None:
        raise Http404
    return mail


def mailbox() -> Mailbox:
    """The catcher's mailbox."""
    return Mailbox(mailbox_file(settings.VAR_DIR))


def download(data: bytes, *, name: str, kind: str) -> HttpResponse:
    """Return bytes as a file to save."""
    response = HttpResponse(data, content_type=kind)
    safe = get_valid_filename(name.encode("ascii", "ignore").decode().strip(". ") or "file")
    response.headers["Content-Disposition"] = f'attachment; filename="{safe[:100]}"'
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response
