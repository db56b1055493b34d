"""Editing a mail that failed: other recipients, another subject, another context for its template; nothing else.

What makes it the same mail stays: its key, its Message-ID, sender, type, headers, files. Bodies are never typed in:
they follow from the template. Everything is checked as when a mail is enqueued.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from queues.email import addresses, drafts, emails, headers, mail, plain, rendering
from queues.email.models import EmailMessage

PEOPLE = ("to", "cc", "bcc")
FIELDS = (*PEOPLE, "subject", "context")
CONTENTS = ("context", "text", "html")
"""Columns that hold what only the recipient should read."""


def columns(message: EmailMessage, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that differ once `changes` (some of `FIELDS`) are made, with all that follows from them.

    Raises `emails.Invalid` with the field and the reason.
    """
    wished = {name: _checked(message, name, value) for name, value in changes.items()}
    if wished.get("context", message.context) != message.context:
        rendered = _rendered(message, wished["context"])
        wished = rendered | {name: value for name, value in wished.items() if value != getattr(message, name)}
    if any(name in wished for name in PEOPLE):
        wished |= _recipients({name: wished.get(name, getattr(message, name)) for name in PEOPLE})
    _validate(message, wished)
    return {name: value for name, value in wished.items() if getattr(message, name) != value}


def _checked(message: EmailMessage, name: str, value: Any) -> Any:
    if name in PEOPLE:
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            raise emails.Invalid(name, "a list of addresses, one a string")
        return [each.strip() for each in value if each.strip()]
    if name == "subject":
        if not isinstance(value, str):
            raise emails.Invalid(name, "a text")
        return headers.clean(value)
    if not message.template:
        raise emails.Invalid(name, "this mail was not made from a template")
    if not isinstance(value, dict):
        raise emails.Invalid(name, "a JSON object")
    drafts.check_json(name, value)
    return value


def _rendered(message: EmailMessage, context: dict[str, Any]) -> dict[str, Any]:
    try:
        rendered = rendering.render(template=message.template, context=context)
    except ValueError as error:
        raise emails.Invalid("context", str(error)) from error
    text = rendered.text or (plain.text_of(rendered.html) if rendered.html else "")
    if max(len(text), len(rendered.html)) > emails.BODY_MAX_CHARACTERS:
        raise emails.Invalid("context", f"it makes more than {emails.BODY_MAX_CHARACTERS:,} characters")
    made = {"subject": rendered.subject, "text": text, "html": rendered.html}
    return {name: headers.clean(value).replace("\x00", "\N{REPLACEMENT CHARACTER}") for name, value in made.items()}


def _recipients(people: Mapping[str, list[str]]) -> dict[str, Any]:
    found: dict[str, None] = {}
    for name in PEOPLE:
        for each in people[name]:
            try:
                found[addresses.normalize(each)] = None
            except ValueError as error:
                raise emails.Invalid(name, f"{error}: {each!r}"[:300]) from error
    if not found:
        raise emails.Invalid("to", "no recipient")
    return {"recipients": list(found), "recipient": next(iter(found)), "refused": None}


def _validate(message: EmailMessage, wished: Mapping[str, Any]) -> None:
    """The whole mail as it would be sent."""
    value = {name: wished.get(name, getattr(message, name)) for name in (*PEOPLE, "subject", "text", "html")}
    built = mail.Mail(
        message_id=message.message_id,
        date=timezone.now(),
        subject=value["subject"],
        from_email=message.from_email,
        **{name: tuple(value[name]) for name in PEOPLE},
        text=value["text"],
        html=value["html"],
    )
    try:
        mail.validate(built)
    except ValueError as error:
        name, _, reason = str(error).partition(": ")
        raise emails.Invalid(name if name in FIELDS else "to", reason or name) from error
