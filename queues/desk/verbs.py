"""The verbs of `manage.py queues`: what the desk's pages and the API do, from a shell; the same functions below.

queues                                            a table of all queues
queues list|show|payload|edit|export …            items
queues redrive|replay|snooze|… QUEUE [filters]    acts, at once or with --pace as an operation
queues prepare|start|abort|undo|operations …      operations
queues pause|resume|run QUEUE                     a queue
queues groups|acknowledge|resolve|ignore|reopen   failure groups
queues suppress|lift|ledger                       addresses; what staff did
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from queues.desk import (
    acts,
    command_words,
    commands,
    edits,
    exports,
    faces,
    filters,
    groups,
    ledger,
    operations,
    plans,
    privacy,
    schedule_page,
    waiting,
)
from queues.desk.bulk import freeze, run
from queues.desk.bulk.operation import Operation
from queues.desk.operations import Actor
from queues.engine import registry
from queues.engine.failure_groups import FailureGroup

type Handle = Callable[[BaseCommand, dict[str, Any]], None]

SHOWN = 50
type Argument = tuple[str, dict[str, Any]]

NUMBER: Argument = ("number", {"type": int})
QUEUE: Argument = ("queue", {})


def add(parser: CommandParser) -> None:
    """All verbs with their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for act in acts.ACTS.values():
        below = verbs.add_parser(act.name, help=act.effect)
        status = "dead_letter" if act.name == "redrive" else ""
        command_words.add_selection(below, status=status)
        command_words.add_act(below, act)
    for verdict in groups.VERDICTS.values():
        below = verbs.add_parser(verdict.name, help=verdict.effect)
        _arguments(below, QUEUE, ("fingerprint", {}), reason=True)
        if verdict.name == "ignore":
            below.add_argument("--for", dest="length", default="24h", help="30m, 4h, 7d; 24h by default")
    for name, (words, _handle, arguments, reason) in VERBS.items():
        below = verbs.add_parser(name, help=words)
        if name in ("list", "export", "prepare"):
            command_words.add_selection(below)
        _arguments(below, *arguments, reason=reason)


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Do the verb. Raises CommandError."""
    verb = options["verb"]
    if verb in acts.ACTS:
        commands.perform(command, acts.get(verb), options)
        return
    with command_words.refused():
        if verb in groups.VERDICTS:
            _say(command, options)
        else:
            VERBS[verb][1](command, options)


def _arguments(parser: Any, *arguments: tuple[str, dict[str, Any]], reason: bool) -> None:
    for name, how in arguments:
        parser.add_argument(name, **how)
    if reason:
        command_words.add_reason(parser)


# --- items -----------------------------------------------------------------------------------------------------------


def _list(command: BaseCommand, options: dict[str, Any]) -> None:
    model, selection = command_words.model_of(options["queue"]), command_words.selection_of(options)
    rows = selection.apply(model._default_manager.all()).defer(*plans.heavy(model)).order_by("-pk")
    face = faces.for_model(model)
    for item in rows[:SHOWN]:
        said = (str(item.pk), face.word(item.status), item.kind, exports.masked(face.title(item)), item.last_code)
        command.stdout.write("  ".join(said).rstrip())


def _show(command: BaseCommand, options: dict[str, Any]) -> None:
    item = _item(options)
    face = faces.for_model(type(item))
    command.stdout.write(
        f"{face.word(item.status)}: {waiting.why(item, queue=registry.get(options['queue']), now=timezone.now())}"
    )
    command.stdout.write(
        f"version {item.version}, tries {item.attempts}, type {item.kind or '-'}, key {item.idempotency_key}"
    )


def _payload(command: BaseCommand, options: dict[str, Any]) -> None:
    item, reason = _item(options), command_words.reason_of(options)
    said: dict[str, Any] = {"queue": options["queue"], "item_id": item.pk, "reason": reason}
    privacy.unmask(actor=Actor.shell(), now=timezone.now(), **said)
    command.stdout.write(json.dumps(faces.for_model(type(item)).contents(item), indent=1, ensure_ascii=False))


def _edit(command: BaseCommand, options: dict[str, Any]) -> None:
    item = _item(options)
    changes = {}
    for pair in options["set"]:
        name, equals, text = pair.partition("=")
        if not equals:
            raise CommandError(f"--set takes NAME=VALUE, not {pair!r}")
        now = getattr(item, name, None)
        try:
            changes[name] = json.loads(text) if isinstance(now, dict) or name == "context" else text
        except ValueError as error:
            raise CommandError(f"{name} is JSON: {error}") from error
        if isinstance(now, list):
            changes[name] = [each.strip() for each in text.split(",")]
    reason = "dry run" if options["dry_run"] else command_words.reason_of(options)
    said: dict[str, Any] = {"queue": options["queue"], "item": item, "changes": changes, "version": item.version}
    made = edits.edit(actor=Actor.shell(), reason=reason, now=timezone.now(), dry_run=options["dry_run"], **said)
    word = "Would change" if options["dry_run"] else "Edited and redriven:"
    command.stdout.write(f"{word} {', '.join(made['changed']) or 'nothing'}.")


def _export(command: BaseCommand, options: dict[str, Any]) -> None:
    selection, reason = command_words.selection_of(options), command_words.reason_of(options)
    said: dict[str, Any] = {"queue": options["queue"], "form": options["form"], "selection": selection}
    lines = exports.begin(actor=Actor.shell(), reason=reason, clock=timezone.now, **said)
    if options["output"] == "-":
        sys.stdout.writelines(lines)
        return
    with open(options["output"], "w", encoding="utf-8", newline="") as file:
        file.writelines(lines)
    command.stdout.write(f"Written to {options['output']}.")


def _item(options: dict[str, Any]) -> Any:
    item = command_words.model_of(options["queue"])._default_manager.filter(pk=options["number"]).first()
    if item is None:
        raise CommandError(f"{options['queue']} has no item {options['number']}.")
    return item


# --- operations ------------------------------------------------------------------------------------------------------


def _operations(command: BaseCommand, options: dict[str, Any]) -> None:
    for each in Operation.objects.order_by("-pk")[:SHOWN]:
        done = f"{each.handled:,} of {each.planned:,}"
        command.stdout.write(
            f"{each.pk}  {each.state}  {each.act} in {each.queue}  {done}  {each.actor_name}  {each.why}"
        )


def _prepare(command: BaseCommand, options: dict[str, Any]) -> None:
    said: dict[str, Any] = {"queue": options["queue"], "selection": command_words.selection_of(options)}
    made = freeze.prepare(act=options["act"], actor=Actor.shell(), now=timezone.now(), **said)
    command.stdout.write(f"Operation {made.pk} is prepared: {made.planned} items. `queues start {made.pk}` starts it.")


def _start(command: BaseCommand, options: dict[str, Any]) -> None:
    how: dict[str, Any] = {"pace": options["pace"], "canary": not options["no_canary"]}
    how |= {"given": dict(pair.partition("=")[::2] for pair in options["given"])}
    said = {"operation_id": options["number"], "actor": Actor.shell(), "now": timezone.now()}
    run.start(reason=command_words.reason_of(options), **said, **how)
    command.stdout.write(f"Operation {options['number']} was started.")


def _abort(command: BaseCommand, options: dict[str, Any]) -> None:
    said = {"operation_id": options["number"], "actor": Actor.shell(), "now": timezone.now()}
    made = run.abort(reason=command_words.reason_of(options), **said)
    command.stdout.write(f"Operation {made.pk} was aborted after {made.handled} of {made.planned}.")


def _undo(command: BaseCommand, options: dict[str, Any]) -> None:
    made = freeze.prepare_undo(operation_id=options["number"], actor=Actor.shell(), now=timezone.now())
    command.stdout.write(
        f"Operation {made.pk} is prepared: it puts {made.planned} items back. `queues start {made.pk}`"
    )
    for why, count in sorted(made.left.items()):
        command.stdout.write(f"Left alone: {count} {why}.")


# --- queues, groups, addresses ---------------------------------------------------------------------------------------


def _pause(command: BaseCommand, options: dict[str, Any]) -> None:
    now, queue = timezone.now(), options["queue"]
    until = now + _length(options["length"]) if options["length"] else None
    said: dict[str, Any] = {"kind": options["kind"], "reason": command_words.reason_of(options), "resume_at": until}
    done = operations.pause(queue=queue, actor=Actor.shell(), now=now, **said)
    command.stdout.write("Paused." if done else "Nothing was done: it is paused already.")


def _resume(command: BaseCommand, options: dict[str, Any]) -> None:
    said: dict[str, Any] = {"kind": options["kind"], "reason": command_words.reason_of(options)}
    done = operations.resume(queue=options["queue"], actor=Actor.shell(), now=timezone.now(), **said)
    command.stdout.write("Resumed." if done else "Nothing was done: it is not paused.")


def _run(command: BaseCommand, options: dict[str, Any]) -> None:
    schedule, reason = schedule_page.of_queue(options["queue"]), command_words.reason_of(options)
    name = schedule_page.run_now(schedule_id=schedule, actor=Actor.shell(), reason=reason, now=timezone.now())
    command.stdout.write(f"{name} was handed to the workers.")


def _groups(command: BaseCommand, options: dict[str, Any]) -> None:
    rows = FailureGroup.objects.filter(queue=options["queue"], state__in=groups.LIVE)
    for group in groups.counted(rows).order_by("-last_seen_at", "-pk")[:SHOWN]:
        found: Any = group
        numbers = f"{groups.capped(found.dead)} dead, {groups.capped(found.retrying)} retrying"
        command.stdout.write(f"{group.fingerprint}  {group.state}  {numbers}  {group.code}  {group.words[:60]}")


def _say(command: BaseCommand, options: dict[str, Any]) -> None:
    found = FailureGroup.objects.filter(queue=options["queue"], fingerprint=options["fingerprint"]).first()
    if found is None:
        raise CommandError(f"{options['queue']} has no group {options['fingerprint']}.")
    now, verdict = timezone.now(), options["verb"]
    until = now + _length(options["length"]) if verdict == "ignore" else None
    said: dict[str, Any] = {"verdict": verdict, "reason": command_words.reason_of(options), "until": until}
    done = groups.say(group_id=found.pk, actor=Actor.shell(), now=now, **said)
    command.stdout.write(
        f"It is {groups.VERDICTS[verdict].done}." if done else f"Nothing was done: it is {found.state}."
    )


def _suppress(command: BaseCommand, options: dict[str, Any]) -> None:
    said: dict[str, Any] = {"address": options["address"], "scope": options["scope"]}
    try:
        done = operations.suppress(
            actor=Actor.shell(), reason=command_words.reason_of(options), now=timezone.now(), **said
        )
    except ValueError as error:
        raise CommandError(f"This is no e-mail address: {error}.") from error
    command.stdout.write("Suppressed." if done else "Nothing was done: it is suppressed already.")


def _lift(command: BaseCommand, options: dict[str, Any]) -> None:
    said: dict[str, Any] = {"suppression_id": options["number"], "reason": command_words.reason_of(options)}
    done = operations.lift(actor=Actor.shell(), now=timezone.now(), **said)
    command.stdout.write("Lifted." if done else "Nothing was done: it is not in force.")


def _ledger(command: BaseCommand, options: dict[str, Any]) -> None:
    for entry in ledger.LedgerEntry.objects.order_by("-pk")[:SHOWN]:
        what = f"{entry.act} {entry.queue}".strip()
        command.stdout.write(
            f"{entry.pk}  {entry.at:%Y-%m-%d %H:%M:%S}  {entry.actor_name}  {what}  {entry.item_count}  {entry.reason}"
        )


def _length(text: str) -> timedelta:
    try:
        return filters.length(text)
    except ValueError as error:
        raise CommandError(f"--for: {error}") from error


FOR = ("--for", {"dest": "length", "default": "", "help": "resume by itself after 30m, 4h, 7d"})
TYPE = ("--type", {"dest": "kind", "default": "", "help": "this type only"})
PACE = ("--pace", {"type": int, "default": freeze.GENTLE, "help": "items a minute"})
NO_CANARY = ("--no-canary", {"action": "store_true", "help": "do not try a few first"})
GIVEN = ("--given", {"nargs": "*", "default": [], "metavar": "NAME=VALUE", "help": "what the act must be told"})
FORM = ("--form", {"choices": list(exports.FORMS), "default": "csv"})
OUTPUT = ("--output", {"default": "-", "metavar": "FILE"})
SET = ("--set", {"action": "append", "default": [], "metavar": "NAME=VALUE", "help": "to=anna@example.com, subject=…"})
DRY = ("--dry-run", {"action": "store_true", "help": "only say what would be different"})
ACT = ("--act", {"choices": list(acts.ACTS), "default": "redrive"})
SCOPE = ("--scope", {"default": "all", "help": "all, bulk, or one e-mail type"})

VERBS: dict[str, tuple[str, Handle, tuple[tuple[str, dict[str, Any]], ...], bool]] = {
    "list": ("find items", _list, (), False),
    "show": ("one item, and why it is where it is", _show, (QUEUE, NUMBER), False),
    "payload": ("what an item carries; recorded", _payload, (QUEUE, NUMBER), True),
    "edit": ("edit and redrive an item that failed", _edit, (QUEUE, NUMBER, SET, DRY), True),
    "export": ("items as a file, masked; recorded", _export, (FORM, OUTPUT), True),
    "operations": ("the newest operations", _operations, (), False),
    "prepare": ("freeze an operation", _prepare, (ACT,), False),
    "start": ("start a prepared operation", _start, (NUMBER, PACE, NO_CANARY, GIVEN), True),
    "abort": ("stop an operation where it is", _abort, (NUMBER,), True),
    "undo": ("prepare the undoing of an operation", _undo, (NUMBER,), False),
    "pause": ("hand out nothing of a queue", _pause, (QUEUE, TYPE, FOR), True),
    "resume": ("hand out again", _resume, (QUEUE, TYPE), True),
    "run": ("run a queue's schedule now", _run, (QUEUE,), True),
    "groups": ("failure groups to look after", _groups, (QUEUE,), False),
    "suppress": ("send an address nothing", _suppress, (("address", {}), SCOPE), True),
    "lift": ("end a suppression", _lift, (NUMBER,), True),
    "ledger": ("what staff did last", _ledger, (), False),
}
