"""One act of staff from a shell: its preview, the act at once or as an operation, its report.

`redrive`, `purge` and `queues <act>` are this; the ledger names the system's user.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from queues.desk import acts, command_words, operations, plans
from queues.desk.bulk import freeze, run
from queues.desk.operations import Actor
from queues.desk.selection import Selection


class ActCommand(BaseCommand):
    """A command that is one act."""

    act = ""
    default_status = ""

    def add_arguments(self, parser: CommandParser) -> None:
        """Which items, and why."""
        command_words.add_selection(parser, status=self.default_status)
        command_words.add_act(parser, acts.get(self.act))

    def handle(self, *args: Any, **options: Any) -> None:
        """Show it, or do it."""
        perform(self, acts.get(self.act), options)


def perform(command: BaseCommand, act: acts.Act, options: dict[str, Any]) -> None:
    """Show or do the act. Raises CommandError."""
    selection = command_words.selection_of(options)
    given = {parameter.name: options[parameter.name] for parameter in act.parameters}
    with command_words.refused():
        if options["plan"]:
            _as_planned(command, act, options, given)
            return
        if selection == Selection():
            raise CommandError(f"Say what to {act.name}: --id, --status, --type, --code or --filter.")
        if options["dry_run"]:
            _preview(command, act, options, selection)
        elif options["pace"]:
            _as_operation(command, act, options, selection, given)
        else:
            _at_once(command, act, options, selection, given)


def _preview(command: BaseCommand, act: acts.Act, options: dict[str, Any], selection: Selection) -> None:
    plan = plans.make(act=act, queue=options["queue"], selection=selection, now=timezone.now())
    more = " (and more behind them)" if plan.more else ""
    command.stdout.write(f"Would be {act.done}: {plan.count}{more}. Nothing was changed.")
    _left(command, plan.left)
    if options["save_plan"]:
        Path(options["save_plan"]).write_text(plans.seal(plan, for_user=None))
        command.stdout.write(f"The plan is kept for an hour: --plan {options['save_plan']} does exactly this.")


def _as_planned(command: BaseCommand, act: acts.Act, options: dict[str, Any], given: dict[str, Any]) -> None:
    try:
        sealed = Path(options["plan"]).read_text()
    except (OSError, ValueError) as error:
        raise CommandError(f"The plan cannot be read: {error}") from error
    plan = plans.unseal(sealed.strip(), act=act.name, queue=options["queue"], for_user=None)
    said: dict[str, Any] = {"reason": command_words.reason_of(options), "now": timezone.now(), "given": given}
    result = operations.perform(plan=plan, actor=Actor.shell(), **said)
    command.stdout.write(f"{act.done.capitalize()}: {result.done}.")
    _left(command, result.left)


def _as_operation(
    command: BaseCommand, act: acts.Act, options: dict[str, Any], selection: Selection, given: dict[str, Any]
) -> None:
    actor, reason = Actor.shell(), command_words.reason_of(options)
    made = freeze.prepare(act=act.name, queue=options["queue"], selection=selection, actor=actor, now=timezone.now())
    how: dict[str, Any] = {"pace": options["pace"], "canary": not options["no_canary"], "given": given}
    run.start(operation_id=made.pk, actor=actor, reason=reason, now=timezone.now(), **how)
    command.stdout.write(f"Operation {made.pk} was started: {made.planned} items, {options['pace']} a minute.")
    _left(command, made.left)


def _at_once(
    command: BaseCommand, act: acts.Act, options: dict[str, Any], selection: Selection, given: dict[str, Any]
) -> None:
    """A thousand items at a time until none is left."""
    reason, done, below, go_on = command_words.reason_of(options), 0, None, True
    left: Counter[str] = Counter()
    while go_on:
        result = operations.act_on(
            act=act.name,
            queue=options["queue"],
            selection=selection,
            actor=Actor.shell(),
            reason=reason,
            now=timezone.now(),
            below=below,
            given=given,
        )
        done, below, go_on = done + result.done, result.lowest, result.more
        left |= Counter(result.left)
    command.stdout.write(f"{act.done.capitalize()}: {done}.")
    _left(command, left)


def _left(command: BaseCommand, left: Any) -> None:
    for why, count in sorted(left.items()):
        command.stdout.write(f"Left alone: {count} {why}.")
