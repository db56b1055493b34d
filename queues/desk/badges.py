"""The numbers in the navigation: each queue's dead letters, of all queues in one statement a request."""

from __future__ import annotations

from django.http import HttpRequest

from queues.desk import faces, standings

CAP = 99


def email(request: HttpRequest) -> str:
    """Dead mails; "" for none."""
    return _dead(request).get("email", "")


def webhook(request: HttpRequest) -> str:
    """Dead webhooks; "" for none."""
    return _dead(request).get("webhook", "")


def push(request: HttpRequest) -> str:
    """Dead pushes; "" for none."""
    return _dead(request).get("push", "")


def _dead(request: HttpRequest) -> dict[str, str]:
    found: dict[str, str] | None = getattr(request, "desk_dead", None)
    if found is None:
        shown = faces.all_faces()
        counts = standings.dead((face.model for face in shown), cap=CAP)
        found = {face.queue: str(count) if count else "" for face, count in zip(shown, counts, strict=True)}
        request.desk_dead = found  # type: ignore[attr-defined]  # the request is what it is kept for
    return found
