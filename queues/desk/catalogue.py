"""The catalogue: everything staff can do, and where: its page, its address in the API, its command. One list for all.

The tests walk it: each deed is there on all three sides or says why not, and no page, address or command is without
its deed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from queues.desk import acts, groups
from queues.desk.bulk.operation import UNDO

PAGE, API, COMMAND = "page", "api", "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One thing that staff can do. `page` is an admin URL's name (`{model}` stands for each queue's)."""

    name: str
    page: str = ""
    api: str = ""
    """The URL's name in `queues.desk.api.urls`."""
    command: tuple[str, ...] = ()
    """The words behind `manage.py`."""
    changes: bool = True
    """Whether it changes something, and so is a POST on its page and in the API."""
    why_not: Mapping[str, str] = field(default_factory=dict)
    """Side → why it is not there."""


ANSWERED = "an alert is answered by the person who looks into it; programs get it by ALERT_WEBHOOK_URL"

DEEDS: tuple[Deed, ...] = (
    *(Deed(name=act, page="queues_{model}_act", api="api-act", command=("queues", act)) for act in acts.ACTS),
    Deed(name="look at queues", page="index", api="api-queues", command=("queues",), changes=False),
    Deed(
        name="list items",
        page="queues_{model}_changelist",
        api="api-queue-items",
        command=("queues", "list"),
        changes=False,
    ),
    Deed(
        name="look at an item", page="queues_{model}_change", api="api-item", command=("queues", "show"), changes=False
    ),
    Deed(name="plan an act", page="queues_{model}_act", api="api-plan", command=("queues", "redrive"), changes=False),
    Deed(name="view payload", page="queues_{model}_unmask", api="api-payload", command=("queues", "payload")),
    Deed(name="edit", page="queues_emailmessage_edit", api="api-edit", command=("queues", "edit")),
    Deed(name="export", page="queues_{model}_export", api="api-export", command=("queues", "export")),
    Deed(name="pause", page="queues_pause_pause", api="api-pause", command=("queues", "pause")),
    Deed(name="resume", page="queues_pause_resume", api="api-resume", command=("queues", "resume")),
    Deed(name="run schedule", page="django_q_schedule_run", api="api-run", command=("queues", "run")),
    Deed(name="suppress", page="queues_suppression_suppress", api="api-suppressions", command=("queues", "suppress")),
    Deed(name="lift", page="queues_suppression_lift", api="api-lift", command=("queues", "lift")),
    *(
        Deed(name=verdict, page="queues_failuregroup_say", api="api-verdict", command=("queues", verdict))
        for verdict in groups.VERDICTS
    ),
    Deed(
        name="list groups",
        page="queues_failuregroup_changelist",
        api="api-groups",
        command=("queues", "groups"),
        changes=False,
    ),
    Deed(
        name="list operations",
        page="queues_operation_changelist",
        api="api-operations",
        command=("queues", "operations"),
        changes=False,
    ),
    Deed(name="prepare an operation", page="queues_{model}_act", api="api-operations", command=("queues", "prepare")),
    Deed(name="start", page="queues_operation_start", api="api-start", command=("queues", "start")),
    Deed(name="abort", page="queues_operation_abort", api="api-abort", command=("queues", "abort")),
    Deed(name=UNDO, page="queues_operation_undo", api="api-undo", command=("queues", UNDO)),
    Deed(
        name="read the ledger",
        page="queues_ledgerentry_changelist",
        api="api-ledger",
        command=("queues", "ledger"),
        changes=False,
    ),
    Deed(
        name="verify the ledger",
        command=("verify_ledger",),
        changes=False,
        why_not={
            PAGE: "it reads the whole chain, for minutes; and who can change the ledger can change its page",
            API: "the same",
        },
    ),
    Deed(
        name="make a token",
        page="queues_apitoken_make",
        command=("create_token",),
        why_not={API: "a token that makes tokens would outlive its revocation"},
    ),
    Deed(
        name="revoke a token",
        page="queues_apitoken_revoke",
        why_not={API: "as for making one", COMMAND: "closing the account on the server does it, too"},
    ),
    *(
        Deed(name=name, page=page, why_not={API: ANSWERED, COMMAND: ANSWERED})
        for name, page in (
            ("acknowledge an alert", "queues_alert_acknowledge"),
            ("silence an alert", "queues_alert_silence"),
            ("end a silence", "queues_silence_end"),
        )
    ),
    Deed(
        name="look at the machinery",
        page="queues_heartbeat_changelist",
        changes=False,
        why_not={
            API: "/metrics has heartbeats, breakers and rate counters for programs",
            COMMAND: "as for the API",
        },
    ),
)
