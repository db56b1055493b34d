"""Edit and redrive: a failed item goes back to work with other contents; the original is kept, the difference shown.

Each queue's face says which fields may be edited (`Editor`); everything else is protected and refuses. The values
before and after are a `Revision`; the ledger entry holds their digests, so that neither can be changed unseen, and no
personal data for ever.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.utils.crypto import salted_hmac

from queues.desk import faces, ledger, permissions, plans
from queues.desk.editor import Editor, Protected
from queues.desk.operations import Actor, needed
from queues.engine import registry, transitions, wake
from queues.engine.item import QueueItem
from queues.engine.revisions import Revision
from queues.engine.states import Status

SALT = "queues.desk.edit"
STATES = (Status.DEAD_LETTER.value, Status.RETRYING.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """An edit as it was looked at: what it changes, of which version. `before` and `after` by column."""

    queue: str
    item_id: int
    version: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def hinders(item: QueueItem, editor: Editor | None) -> str:
    """Why it cannot be edited and redriven; "" if it can."""
    if editor is None:
        return "nothing of it may be edited: it is kept as it was received"
    if item.hidden_at:
        return "purged"
    if item.status not in STATES:
        return f"only what failed is edited, and it is {item.get_status_display().lower()}"
    return faces.for_model(type(item)).unrunnable(item)


def look(*, queue: str, item: QueueItem, editor: Editor | None, changes: Mapping[str, Any]) -> Edit:
    """What the edit would change. Raises Protected, Invalid, `plans.Stale` if the item cannot be edited now."""
    fields = editor.fields if editor is not None else ()
    if names := [name for name in changes if name not in fields]:
        raise Protected([name[:50] for name in names[:20]], fields)
    assert editor is not None or not changes
    if why := hinders(item, editor):
        raise plans.Stale(why)
    after = editor.columns(item, changes) if editor is not None else {}
    before = {name: getattr(item, name) for name in after}
    return Edit(queue=queue, item_id=item.pk, version=item.version, before=before, after=after)


def require(actor: Actor, *, queue: str, hidden: bool) -> None:
    """Raise PermissionDenied unless this actor may edit there; contents (`hidden`) need the right to see them too."""
    model = registry.get(queue).model
    actor.require("edit", model)
    if hidden and not actor.may("view_payload", model):
        raise PermissionDenied(f"{actor.name} may not see the contents of {model._meta.verbose_name_plural}")


def edit(
    *,
    queue: str,
    item: QueueItem,
    changes: Mapping[str, Any],
    version: int,
    actor: Actor,
    reason: str,
    now: datetime,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Look and perform in one go, for programs and commands: what changed, and the ledger entry (None: a dry run).

    Raises what `look`, `require` and `perform` raise.
    """
    editor = faces.for_model(type(item)).editor
    contents = [] if editor is None else [name for name in changes if name in editor.fields and name in editor.hidden]
    require(actor, queue=queue, hidden=bool(contents))
    made = look(queue=queue, item=item, editor=editor, changes=changes)
    if version != item.version:
        raise plans.Stale("it changed since you looked at it")
    entry = None if dry_run else perform(edit=made, actor=actor, reason=reason, now=now)
    return {"changed": list(made.after), "ledger_entry": entry}


def perform(*, edit: Edit, actor: Actor, reason: str, now: datetime) -> int:
    """Do it, with its revision and its ledger entry in one transaction; returns the entry's id.

    Raises PermissionDenied, `operations.ReasonMissing`, `plans.Stale` if the item changed since it was looked at.
    """
    model = registry.get(edit.queue).model
    actor.require("edit", model)
    reason = needed(reason)
    if not edit.after:
        raise plans.Stale("nothing would be different")
    with transaction.atomic(using=router.db_for_write(model)):
        rows = model._default_manager.filter(pk=edit.item_id)
        said: dict[str, Any] = {"item_id": edit.item_id, "version": edit.version, "columns": dict(edit.after)}
        if not transitions.edit(rows, now=now, **said):
            raise plans.Stale("it changed since you looked at it")
        revision = Revision.objects.create(
            queue=edit.queue,
            item_id=edit.item_id,
            made_at=now,
            actor_name=actor.name,
            before=dict(edit.before),
            after=dict(edit.after),
        )
        entry = ledger.record(
            act="edit",
            actor=actor.user,
            actor_name=actor.name,
            queue=edit.queue,
            items=[edit.item_id],
            plan=f"{', '.join(edit.after)} of {edit.item_id}",
            reason=reason,
            result={"revision": revision.pk, "before": sealed(edit.before), "after": sealed(edit.after)},
            request_id=actor.request_id,
            now=now,
        )
        Revision.objects.filter(pk=revision.pk).update(entry_id=entry.pk)
        wake.soon(edit.queue)
    return entry.pk


def sealed(values: Mapping[str, Any], *, key: str | None = None) -> dict[str, str]:
    """Each value's keyed digest: proves later what it was, and says nothing to who does not have the ledger's key."""
    secret = ledger.signing_keys()[0] if key is None else key
    texts = {name: json.dumps(value, sort_keys=True) for name, value in values.items()}
    return {
        name: salted_hmac(SALT, text, secret=secret, algorithm="sha256").hexdigest()[:32]
        for name, text in texts.items()
    }


def is_original(revision: Revision, result: Mapping[str, Any]) -> bool:
    """Whether the revision is what the ledger entry's `result` says it was."""
    said = (result.get("before"), result.get("after"))
    return any(
        (sealed(revision.before, key=key), sealed(revision.after, key=key)) == said for key in ledger.signing_keys()
    )


def token(edit: Edit, *, user_id: int | None) -> str:
    """Proof that this very edit was shown to this person, for the form that confirms it."""
    text = json.dumps([edit.queue, edit.item_id, edit.version, dict(edit.after), user_id], sort_keys=True)
    return signing.dumps(hashlib.sha256(text.encode()).hexdigest(), salt=SALT)


def was_shown(edit: Edit, text: str, *, user_id: int | None) -> bool:
    """Whether `text` is the token of this edit, not older than a plan may be."""
    try:
        said = signing.loads(text, salt=SALT, max_age=plans.GOOD_FOR)
        meant = signing.loads(token(edit, user_id=user_id), salt=SALT)
    except signing.BadSignature:
        return False
    return hmac.compare_digest(str(said), str(meant))


def may_see(user: Any, model: type[QueueItem]) -> bool:
    """Whether this account may see contents at all."""
    return permissions.may(user, "view_payload", model)
