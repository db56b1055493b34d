"""Writes docs/push-answers.md from the error tables: `python -m tests.notifications.transports.answers_page`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta

import django

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "push-answers.md"
HEAD = """# What each answer of a push service means

Made from the tables in `notifications/transports/errors.py` (version {version}) by
`python -m tests.notifications.transports.answers_page`; a test holds the two together. A transport's own table comes
first, then what holds for every transport; the first row that fits counts. A pair that is not here is `unknown`:
staff are told, the push is tried again by the schedule, and no device is harmed.

Statuses in words are our own: `connect`, `write`, `refused` and `goaway` were provably not processed; `timeout` and
`reset` were written without an answer; `private` and `malformed` were never tried; `unset`, `size`, `keys` and `oauth`
ended before the push service was asked.
"""
TITLES = {"webpush": "Web Push", "fcm": "FCM", "apns": "APNs", "": "Every transport"}


def render() -> str:
    """The page."""
    from notifications.transports import errors

    parts = [HEAD.format(version=errors.VERSION)]
    for transport, title in TITLES.items():
        parts.append(f"## {title}\n\n| status | reason | verdict | then | in words |\n|---|---|---|---|---|")
        parts += _lines([row for row in errors.ROWS if row.transport == transport])
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _lines(rows: list) -> Iterator[str]:
    for row in rows:
        reason = {"*": "any", "": "none"}.get(row.reason, f"`{row.reason}`")
        if row.fact:
            reason += f", if {row.fact}"
        yield f"| `{row.status}` | {reason} | {row.verdict} | {_then(row)} | {row.words} |"


def _then(row) -> str:
    found = [
        f"device: `{row.device}`" if row.device else "",
        f"lane: {row.lane}" if row.lane else "",
        f"for {_time(row.lane_for)}" if row.lane_for else "",
        f"again after {_time(row.wait)}, if it does not say when" if row.wait else "",
    ]
    return "; ".join(each for each in found if each)


def _time(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.0f} min"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    PAGE.write_text(render(), encoding="utf-8")
