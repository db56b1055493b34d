"""`manage.py create_token USER --name NAME`: make an API token and print it, once."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from queues.desk import operations, token_acts, tokens


class Command(BaseCommand):
    """Writes the token alone to standard output, so that a script can take it; everything else to standard error."""

    help = "Make an API token for a user and print it. It is shown this once; what it may do is what its user may do."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Who it is for, what it is called, and how long it holds."""
        parser.add_argument("user", help="username")
        parser.add_argument("--name", required=True, help="what it is for, for example 'shop, production'")
        parser.add_argument("--reason", default="manage.py create_token", help="for the ledger")
        lifetime = parser.add_mutually_exclusive_group()
        lifetime.add_argument(
            "--days", type=int, default=tokens.LIFETIME.days, help="how long it holds (default: %(default)s days)"
        )
        lifetime.add_argument("--never-expires", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it."""
        model = get_user_model()
        try:
            user = model._default_manager.get_by_natural_key(options["user"])
        except model.DoesNotExist:
            raise CommandError(f"There is no user {options['user']!r}.") from None
        if not 0 < options["days"] <= 36_500:
            raise CommandError("--days: between 1 and 36500.")
        token, secret = token_acts.make(
            user=user,
            name=options["name"],
            lifetime=None if options["never_expires"] else timedelta(days=options["days"]),
            actor=operations.Actor.shell(),
            reason=options["reason"],
            now=timezone.now(),
        )
        until = f"until {token.expires_at:%Y-%m-%d}" if token.expires_at else "for ever"
        self.stderr.write(f"Token {token.name!r} of {user} holds {until}; it is not shown again:")
        self.stdout.write(secret)
