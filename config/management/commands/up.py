"""`manage.py up`: the whole system on this machine with demo data; Ctrl-C stops it."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand

from config.up import run


class Command(BaseCommand):
    """Starts the web server, the workers and the mail catcher, and stops them all on Ctrl-C."""

    help = __doc__
    requires_system_checks = []  # the first start writes the keys whose absence the checks report

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped, with this process's environment."""
        sys.exit(run.up(environment=dict(os.environ)))
