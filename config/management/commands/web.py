"""`manage.py web`: the web server (granian) on BIND:PORT, with the collected static files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Checks the settings, then becomes granian; `WEB_WORKERS` is its number of processes (default 1)."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        """Replace this process by the server, so that signals reach it directly."""
        if not (Path(settings.STATIC_ROOT) / "staticfiles.json").exists():
            raise CommandError("There are no static files yet; run `manage.py collectstatic` first.")
        server = str(Path(sys.executable).with_name("granian"))
        os.chdir(settings.BASE_DIR)
        os.execv(server, [server, *arguments()])  # noqa: S606  (no shell is meant)


def arguments() -> list[str]:
    """Return granian's options. One process is right for SQLite, where more would only wait for each other."""
    bind, workers = os.environ.get("BIND") or "127.0.0.1", os.environ.get("WEB_WORKERS") or "1"
    return [
        *("--interface", "wsgi", "--host", bind, "--port", str(settings.PORT), "--no-ws"),
        # A kept thread keeps its database connection, which is worth five times its cost.
        *("--workers", workers, "--blocking-threads", "4", "--blocking-threads-idle-timeout", "600"),
        *("--respawn-failed-workers", "--workers-kill-timeout", "30"),
        *("--static-path-route", "/static", "--static-path-mount", str(settings.STATIC_ROOT)),
        "config.wsgi:application",
    ]
