"""What the desk's commands share: the options that name items, the reason, and errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError, CommandParser

from queues.desk import acts, grammar, operations, parameters, plans
from queues.desk.bulk import run
from queues.desk.bulk.operation import PACE_MAX
from queues.desk.editor import Invalid, Protected
from queues.desk.selection import Selection
from queues.engine import registry
from queues.engine.item import QueueItem
from queues.engine.states import Status

FIELDS = ("status", "kind", "code", "search", "purged")


def add_selection(parser: CommandParser, *, status: str = "") -> None:
    """Which items."""
    parser.add_argument("queue", help="the queue's name, as `manage.py queues` shows it")
    parser.add_argument("--id", type=int, nargs="+", default=[], dest="ids", metavar="ID", help="these items")
    parser.add_argument("--status", default=status, choices=["", "waiting", *Status.values])
    parser.add_argument("--type", default="", dest="kind", help="of this type only")
    parser.add_argument("--code", default="", help="with this last cause only, for example 'smtp 451'")
    parser.add_argument(
        "--filter",
        "--search",
        default="",
        dest="search",
        help="as in the list's search box: error:timeout age>1h, or an exact recipient, key or the like",
    )
    parser.add_argument("--purged", action="store_true", help="of what was purged")


def add_reason(parser: CommandParser) -> None:
    """Why."""
    parser.add_argument("--reason", default="", help="why; it goes into the ledger")


def add_act(parser: CommandParser, act: acts.Act) -> None:
    """What an act must be told, and how it is done."""
    for parameter in act.parameters:
        parser.add_argument(f"--{parameter.name}", default="", help=parameter.help)
    add_reason(parser)
    parser.add_argument("--dry-run", action="store_true", help="only say what would be touched")
    parser.add_argument("--save-plan", default="", metavar="FILE", help="with --dry-run: keep exactly this plan")
    parser.add_argument("--plan", default="", metavar="FILE", help="do exactly what was planned and kept")
    parser.add_argument(
        "--pace", type=int, default=0, metavar="N", help=f"as an operation, N items a minute (up to {PACE_MAX:,})"
    )
    parser.add_argument("--no-canary", action="store_true", help="with --pace: do not try a few first")


def selection_of(options: dict[str, Any]) -> Selection:
    """The items meant. Raises CommandError for a filter that means nothing, or a queue that is not there."""
    model = model_of(options["queue"])
    selection = Selection(ids=tuple(options["ids"]), **{name: options[name] for name in FIELDS})
    try:
        selection.check(model)
    except grammar.Mistake as mistake:
        raise CommandError(f"{mistake}\n  {selection.search}\n  {'^':>{mistake.at}}") from mistake
    return selection


def model_of(queue: str) -> type[QueueItem]:
    """The model of a queue's items. Raises CommandError."""
    try:
        return registry.get(queue).model
    except LookupError as error:
        raise CommandError(str(error)) from error


def reason_of(options: dict[str, Any]) -> str:
    """Why. Raises CommandError if nothing was said."""
    if not str(options["reason"]).strip():
        raise CommandError("Say why with --reason: it goes into the ledger.")
    return str(options["reason"])


@contextmanager
def refused() -> Iterator[None]:
    """What the desk refuses, in words."""
    try:
        yield
    except (LookupError, operations.ReasonMissing, parameters.Wrong, Protected, Invalid) as error:
        raise CommandError(str(error)) from error
    except (plans.Stale, run.NotReady) as error:
        raise CommandError(f"Nothing was done: {error}.") from error
