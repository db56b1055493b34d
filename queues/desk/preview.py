"""The preview of a mail's HTML: a document of its own that runs nothing and loads nothing from anywhere.

It is shown in a frame with an empty `sandbox`, and its own Content-Security-Policy says the same once more, so that it
is as harmless opened by itself. Inline images (`cid:`) become `data:` addresses.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.http import HttpResponse
from django.utils.csp import CSP

POLICY: dict[str, Any] = {
    "sandbox": True,
    "default-src": [CSP.NONE],
    "style-src": [CSP.UNSAFE_INLINE],
    "img-src": ["data:"],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.NONE],
    "frame-ancestors": [CSP.SELF],
}
HTML_MAX = 1_000_000
IMAGES_MAX = 5_000_000
IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""No SVG: it is a document, not a picture."""
_REACHES_OUT = re.compile(r"<(?=(?:link|base|meta)\b)", re.IGNORECASE)
"""Elements a policy does not hold back (preconnect, prefetch, refresh): made unknown ones, which do nothing."""
_CID = re.compile(r"cid:([^\s\"'<>)]{1,255})", re.IGNORECASE)


def page(html: str, *, images: Iterable[tuple[str, str, bytes]]) -> HttpResponse:
    """The document; `images` are (content id, content type, bytes) of the mail's inline files."""
    inline = _inline(images)
    text = _REACHES_OUT.sub("<x-", html[:HTML_MAX])
    text = _CID.sub(lambda found: inline.get(found[1], ""), text)
    cut = "<p><em>Cut here: the rest is too long for a preview.</em></p>" if len(html) > HTML_MAX else ""
    response = HttpResponse("<!doctype html><meta charset=utf-8>" + text + cut)
    response._csp_config = POLICY  # type: ignore[attr-defined]  # what Django's own decorator sets
    response["X-DNS-Prefetch-Control"] = "off"
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "private, no-store"
    return response


def _inline(images: Iterable[tuple[str, str, bytes]]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    room = IMAGES_MAX
    for content_id, content_type, content in images:
        room -= len(content)
        if content_type.lower() in IMAGE_TYPES and room >= 0:
            found[content_id] = f"data:{content_type.lower()};base64,{base64.b64encode(content).decode()}"
    return found
