"""A copy of the last good figures on this machine's disk, for when the database answers nothing at all.

    <VAR_DIR>/analytics/<campaign>/campaign.json     its header, and who may look
    <VAR_DIR>/analytics/<campaign>/<key>.json        one view of one panel

Customers' figures: files 0600 in folders 0700, erased with their campaign, and after 30 days without a look.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings

from analytics import header as headers
from analytics.header import Header
from queues.engine import log

KEPT = timedelta(days=30)
HEADER_EVERY = timedelta(seconds=60)

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Copy:
    """One view as it was written."""

    payload: dict[str, Any]
    as_of: datetime
    computed_at: datetime


def write(campaign_id: int, key: str, *, payload: dict[str, Any], as_of: datetime, computed_at: datetime) -> None:
    """Keep a view. A disk that is full costs the copy, nothing else."""
    told = {"payload": payload, "as_of": as_of.isoformat(), "computed_at": computed_at.isoformat()}
    _write(_folder(campaign_id) / f"{key}.json", told)


def read(campaign_id: int, key: str) -> Copy | None:
    """A view, or None if there is none that can be read."""
    told = _read(_folder(campaign_id) / f"{key}.json")
    try:
        if told is None or told["payload"]["campaign"] != campaign_id:
            return None
        moments = (datetime.fromisoformat(told[name]) for name in ("as_of", "computed_at"))
        return Copy(told["payload"], *moments)
    except (KeyError, TypeError, ValueError):
        return None


def write_header(header: Header, *, allowed: Iterable[int], now: datetime) -> None:
    """Keep the header with the ids of those who may look: owner and members."""
    path = _folder(header.id) / "campaign.json"
    told = {"header": headers.dump(header), "allowed": sorted(allowed), "written_at": now.isoformat()}
    _write(path, told)


def header_is_old(campaign_id: int, *, now: datetime) -> bool:
    """Whether it is time to write the header again."""
    try:
        written = (_folder(campaign_id) / "campaign.json").stat().st_mtime
    except OSError:
        return True
    return not 0 <= now.timestamp() - written < HEADER_EVERY.total_seconds()


def read_header(campaign_id: int, *, user_id: int, staff: bool) -> Header | None:
    """The header if that person may look, as it was when it was written; else None."""
    told = _read(_folder(campaign_id) / "campaign.json")
    try:
        if told is None or not (staff or user_id in told["allowed"]):
            return None
        return headers.load(told["header"])
    except (KeyError, TypeError, ValueError):
        return None


def headers_for(*, user_id: int, staff: bool) -> list[Header]:
    """The campaigns this person may look at, as far as this machine knows."""
    found = []
    for folder in _root().glob("[0-9]*"):
        header = read_header(int(folder.name), user_id=user_id, staff=staff) if folder.name.isdigit() else None
        if header is not None:
            found.append(header)
    return sorted(found, key=lambda header: (header.name, header.id))


def forget(campaign_id: int) -> None:
    """Erase everything of a campaign."""
    shutil.rmtree(_folder(campaign_id), ignore_errors=True)


def clean(*, now: datetime) -> int:
    """Delete files that were not written for a month."""
    before = (now - KEPT).timestamp()
    old = [path for path in _root().glob("*/*.json") if path.stat().st_mtime < before]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _root() -> Path:
    return Path(settings.VAR_DIR) / "analytics"


def _folder(campaign_id: int) -> Path:
    return _root() / str(int(campaign_id))


def _write(path: Path, told: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".new")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(told, file)
        os.replace(name, path)
    except OSError as error:
        logger.warning("analytics.mirror_failed", words=str(error))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
