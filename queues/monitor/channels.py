"""The ways a message about alerts takes: mail, straight to the providers, and a webhook in Slack's format.

Not through the e-mail queue, which may be what the message is about: every configured transport is tried in order,
whatever its breaker says, with the time-outs it has.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from queues.email import transports
from queues.email.mail import Mail
from queues.engine import outcomes
from queues.monitor import post
from queues.monitor.models import AlertDelivery

SECTION_MAX = 2900
"""Slack takes 3,000 characters in the text of a section, and 50 blocks (docs.slack.dev/reference/block-kit/blocks)."""


class Failed(Exception):
    """The other side did not take it; says why, without a secret."""


def send(row: AlertDelivery, *, now: datetime) -> str:
    """Send one message; returns what the other side said. Raises Failed."""
    if row.channel == AlertDelivery.Channel.MAIL:
        return _mail(row)
    return _webhook(row)


def webhook_name() -> str:
    """The webhook's host, for people; its path is a secret."""
    try:
        return urlsplit(settings.ALERT_WEBHOOK_URL).hostname or "webhook"
    except ValueError:
        return "webhook"


def text(body: dict[str, Any]) -> str:
    """The message as plain text."""
    lines = [body["note"], ""] if body.get("note") else []
    for entry in body["entries"]:
        scope = f" ({entry['scope']})" if entry["scope"] else ""
        lines += [f"{entry['title']}{scope}", entry["words"]]
        lines += [entry["since"]] if entry["since"] else []
        lines += [f"What to do: {entry['advice']}"] if entry["advice"] else []
        lines += [f"Look at: {entry['url']}"]
        lines += [f"Acknowledge or silence: {entry['alert_url']}"] if entry.get("alert_url") else []
        lines += [""]
    if body["more"]:
        lines += [f"… and {body['more']} more.", ""]
    return "\n".join([*lines, f"All alerts: {body['url']}", f"Sent {body['at']} by Redrive at {settings.BASE_URL}", ""])


def slack(body: dict[str, Any]) -> dict[str, Any]:
    """The message in Slack's format: `text` for notifications, blocks for the channel."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": body["title"][:150], "emoji": False}}
    ]
    if body.get("note"):
        blocks.append(_section(_escape(body["note"])))
    for entry in body["entries"]:
        scope = f" ({_escape(entry['scope'])})" if entry["scope"] else ""
        parts = [f"*{_escape(entry['title'])}*{scope}", _escape(entry["words"]), _escape(entry["since"])]
        parts += [f"*What to do:* {_escape(entry['advice'])}"] if entry["advice"] else []
        links = [f"<{entry['url']}|Look at it>"]
        links += [f"<{entry['alert_url']}|Acknowledge or silence>"] if entry.get("alert_url") else []
        blocks.append(_section("\n".join([*(part for part in parts if part), " · ".join(links)])))
    if body["more"]:
        blocks.append(_section(f"… and {body['more']} more: <{body['url']}|all alerts>"))
    return {"text": body["title"], "blocks": blocks}


def _mail(row: AlertDelivery) -> str:
    domain = urlsplit(settings.BASE_URL).hostname or "localhost"
    mail = Mail(
        # The same at every try, so that a mailbox knows a repetition.
        message_id=f"<alert.{row.key.replace(':', '.')}@{domain if '.' in domain else 'redrive.invalid'}>",
        date=row.created_at,
        subject=" ".join(row.subject.split()),
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=(row.to,),
        text=text(row.body),
        headers=(("Auto-Submitted", "auto-generated"), ("X-Redrive-Alert", str(row.kind))),
    )
    said = []
    try:
        ways = transports.configured()
    except ValueError as error:
        raise Failed(f"EMAIL_DELIVERY_URL: {error}") from None
    for way in ways:
        connection = way.open()
        try:
            receipt = connection.send(mail, key=row.key)
        except outcomes.Outcome as outcome:
            said.append(f"{way.name}: {outcome.words}")
        else:
            if receipt.refused:
                said.append(f"{way.name}: {next(iter(receipt.refused.values()))[1]}")
                continue
            return f"{way.name}: {receipt.words}"
        finally:
            connection.close()
    raise Failed("; ".join(said) or "no transport is configured")


def _webhook(row: AlertDelivery) -> str:
    try:
        answer = post.json(settings.ALERT_WEBHOOK_URL, slack(row.body), key=row.key)
    except post.Failed as failure:
        raise Failed(str(failure)) from None
    if answer.status // 100 != 2:
        raise Failed(f"{webhook_name()} answered {answer.status} {answer.words}".strip())
    return f"{answer.status} {answer.words}".strip()


def _section(words: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": words[:SECTION_MAX]}}


def _escape(words: str) -> str:
    """Slack's three control characters; without them nothing in the words can be a link or a mention."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
