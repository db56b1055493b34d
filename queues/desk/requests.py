"""What the desk reads from a request besides its parameters: who acts, and under which id the log has it."""

from __future__ import annotations

from typing import cast

import structlog
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest

from queues.desk.operations import Actor


def actor_of(request: HttpRequest) -> Actor:
    """The logged-in member of staff; the views behind `admin_view` have no other visitors."""
    return Actor.of(cast(AbstractBaseUser, request.user), request_id=request_id(request))


def request_id(request: HttpRequest) -> str:
    """The id under which the log has this request; "" outside one."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))
