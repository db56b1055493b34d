"""The page behind the unsubscribe link: GET shows a button, POST unsubscribes, by the button or by a mail program."""

from __future__ import annotations

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from queues.email import unsubscribe


@csrf_exempt  # the signed link is the authority, and mail programs have no cookie (RFC 8058 section 3.2)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest, token: str) -> HttpResponse:
    """Show the button, or unsubscribe; always 200 for a good link, however often it is used."""
    try:
        link = unsubscribe.read(token)
    except unsubscribe.BadToken:
        return _page(request, "bad_link", {}, status=404)
    everything = _wants_everything(request)
    shown = {"address": link.address, "kind": link.kind.replace("_", " "), "everything": everything}
    if request.method != "POST":
        return _page(request, "ask", shown)
    unsubscribe.unsubscribe(link, everything=everything)
    return _page(request, "done", shown)


def _wants_everything(request: HttpRequest) -> bool:
    """Whether the second button was pressed. A body that cannot be read is a mail program's: its wish is clear."""
    try:
        return request.POST.get("scope") == "bulk"
    except (MultiPartParserError, SuspiciousOperation, UnicodeDecodeError, ValueError):
        return False


def _page(request: HttpRequest, name: str, context: dict[str, object], *, status: int = 200) -> HttpResponse:
    response = render(request, f"unsubscribe/{name}.html", context, status=status)
    response["Referrer-Policy"] = "no-referrer"  # the link must not travel to another site
    response["X-Robots-Tag"] = "noindex"
    return response
