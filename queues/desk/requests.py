"""What the desk reads from a request besides its parameters."""

from __future__ import annotations

import structlog
from django.http import HttpRequest


def request_id(request: HttpRequest) -> str:
    """The id under which the log has this request; "" outside one."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))
