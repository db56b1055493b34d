"""What the commands `redrive` and `purge` share: the selection as options, the act with its preview and its report."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from queues.desk import acts, grammar, operations, plans
from queues.desk.selection import Selection
from queues.engine import registry
from queues.engine.states import Status


class ActCommand(BaseCommand):
    """One act of staff from a shell; the ledger names the system's user."""

    act = ""
    default_status = ""

    def add_arguments(self, parser: CommandParser) -> None:
        """Which items, and why."""
        parser.add_argument("queue", help="the queue's name, as `manage.py queues` shows it")
        parser.add_argument("--id", type=int, nargs="+", default=[], dest="ids", metavar="ID", help="these items")
        parser.add_argument("--status", default=self.default_status, choices=["waiting", *Status.values])
        parser.add_argument("--type", default="", dest="kind", help="of this type only")
        parser.add_argument("--code", default="", help="with this last cause only, for example 'smtp 451'")
        parser.add_argument(
            "--filter",
            "--search",
            default="",
            dest="search",
            help="as in the list's search box: error:timeout age>1h, or an exact recipient, key or the like",
        )
        parser.add_argument("--reason", default="", help="why; it goes into the ledger")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be touched")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show or do it, a thousand items at a time until none is left."""
        try:
            model = registry.get(options["queue"]).model
        except LookupError as error:
            raise CommandError(str(error)) from error
        fields = ("status", "kind", "code", "search")
        selection = Selection(ids=tuple(options["ids"]), **{name: options[name] for name in fields})
        try:
            selection.check(model)
        except grammar.Mistake as mistake:
            raise CommandError(f"{mistake}\n  {selection.search}\n  {'^':>{mistake.at}}") from mistake
        if options["dry_run"]:
            self._preview(options["queue"], selection)
            return
        if not options["reason"].strip():
            raise CommandError("Say why with --reason: it goes into the ledger.")
        self._do(options["queue"], selection, options["reason"])

    def _preview(self, queue: str, selection: Selection) -> None:
        plan = plans.make(act=acts.get(self.act), queue=queue, selection=selection, now=timezone.now())
        more = " (and more behind them)" if plan.more else ""
        self.stdout.write(f"Would be {plan.act.done}: {plan.count}{more}. Nothing was changed.")
        self._left(plan.left)

    def _do(self, queue: str, selection: Selection, reason: str) -> None:
        done, below, go_on = 0, None, True
        left: Counter[str] = Counter()
        while go_on:
            result = operations.act_on(
                act=self.act,
                queue=queue,
                selection=selection,
                actor=operations.Actor.shell(),
                reason=reason,
                now=timezone.now(),
                below=below,
            )
            done, below, go_on = done + result.done, result.lowest, result.more
            left |= Counter(result.left)
        self.stdout.write(f"{acts.get(self.act).done.capitalize()}: {done}.")
        self._left(left)

    def _left(self, left: Any) -> None:
        for why, count in sorted(left.items()):
            self.stdout.write(f"Left alone: {count} {why}.")
