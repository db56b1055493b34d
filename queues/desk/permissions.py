"""Who may do what: one permission for each act and queue, and the three groups that come with them.

    queues.<act>_<model>    queues.redrive_emailmessage; one for each act of `acts`, edit, and pause (and resume)
    queues.view_<model>     see the list and the item; not what it carries
    queues.view_payload_<model>     see bodies and payloads, once asked for and recorded
    queues.configure_<model>        run its schedule besides its own times
    queues.watch_slominute      see the service levels and the other measures
    queues.triage_failuregroup  acknowledge, resolve, ignore or reopen a failure group
    queues.add_suppression  suppress an address        queues.lift_suppression  end a suppression
    queues.handle_alert     acknowledge and silence alerts

Administrator may do all of it and Operator all but configure; Observer may only look. `ensure` runs after every
migrate. What an administrator took from a group stays taken: a permission is given to the groups once, when it is made.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction
from django.db.models import Q

from queues.engine.item import QueueItem

OPERATOR = "Operator"
OBSERVER = "Observer"
ADMINISTRATOR = "Administrator"

ITEM_ACTS: tuple[str, ...] = ("redrive", "replay", "snooze", "reschedule", "prioritize", "discard", "purge", "restore")
ITEM_ACTS += ("pause", "edit", "view_payload")
CONFIGURE = ("configure",)
"""Of administrators alone: to run a queue's schedule at another time than its own."""
CLOCK = ("view_schedule", "change_schedule", "view_success", "view_failure", "view_ormq", "view_task")
SEEN = (
    "alert",
    "alertdelivery",
    "attempt",
    "breaker",
    "failuregroup",
    "heartbeat",
    "ledgerentry",
    "operation",
    "pause",
    "ratecounter",
    "silence",
    "suppression",
    "tombstone",
    "trackingevent",
)
"""Models of the desk, besides the queues' own, that both groups may look at."""


def name(act: str, model: type[models.Model]) -> str:
    """The permission in the form that `User.has_perm` takes: `queues.redrive_emailmessage`."""
    return f"{model._meta.app_label}.{act}_{model._meta.model_name}"


def may(user: AbstractBaseUser | AnonymousUser | None, act: str, model: type[models.Model]) -> bool:
    """Whether this active account may do `act` to rows of `model`."""
    return user is not None and getattr(user, "is_active", False) and user.has_perm(name(act, model))  # type: ignore[union-attr]


def ensure(sender: AppConfig, using: str = "default", **_: Any) -> None:
    """Make the permissions and groups there should be; a `post_migrate` receiver, safe to repeat."""
    with transaction.atomic(using=using):
        groups, made = {}, set()
        for group_name in (OBSERVER, OPERATOR, ADMINISTRATOR):
            groups[group_name], fresh = Group.objects.using(using).get_or_create(name=group_name)
            made |= {group_name} if fresh else set()
        for group_name in made:
            _give(groups[group_name], SEEN, "view", using)
        if OPERATOR in made:
            _give(groups[OPERATOR], ("suppression",), "add", using)
            _give(groups[OPERATOR], ("alert",), "handle", using)
        for model in queue_models():
            _ensure_queue(model, groups, using)
        watch = _make(("watch",), apps.get_model("queues", "slominute"), using)
        for group in groups.values():
            group.permissions.add(*watch)
        _grant(_make(("triage",), apps.get_model("queues", "failuregroup"), using), groups)
        _grant(_make(("lift",), apps.get_model("queues", "suppression"), using), groups)
        if ADMINISTRATOR in made:
            everything = Permission.objects.using(using).filter(
                Q(content_type__app_label__in=[model._meta.app_label for model in queue_models()])
                | Q(content_type__app_label="queues")
                | Q(content_type__app_label="django_q", codename__in=CLOCK)
            )
            groups[ADMINISTRATOR].permissions.add(*everything)


def _ensure_queue(model: type[QueueItem], groups: dict[str, Group], using: str) -> None:
    """The permissions of one queue, given to who should have them when they are made."""
    if fresh := _make(ITEM_ACTS, model, using):
        _grant(fresh, groups)
        # Django's own; but of an app that migrates after this one it is not there yet.
        _make(("view",), model, using)
        view = Permission.objects.using(using).get(
            content_type=fresh[0].content_type, codename=f"view_{model._meta.model_name}"
        )
        for group in groups.values():
            group.permissions.add(view)
    groups[ADMINISTRATOR].permissions.add(*_make(CONFIGURE, model, using))


def _grant(fresh: list[Permission], groups: dict[str, Group]) -> None:
    """To operators and administrators."""
    for group_name in (OPERATOR, ADMINISTRATOR):
        groups[group_name].permissions.add(*fresh)


def queue_models() -> list[type[QueueItem]]:
    """The concrete models of all queues."""
    return [model for model in apps.get_models() if issubclass(model, QueueItem)]


def _make(acts: tuple[str, ...], model: type[models.Model], using: str) -> list[Permission]:
    """Create those permissions of the model that are missing, and return them."""
    content_type = ContentType.objects.db_manager(using).get_for_model(model)
    there = set(Permission.objects.using(using).filter(content_type=content_type).values_list("codename", flat=True))
    wanted = {f"{act}_{model._meta.model_name}": f"Can {act} {model._meta.verbose_name}" for act in acts}
    missing = [
        Permission(content_type=content_type, codename=codename, name=words)
        for codename, words in wanted.items()
        if codename not in there
    ]
    return list(Permission.objects.using(using).bulk_create(missing))


def _give(group: Group, model_names: tuple[str, ...], act: str, using: str) -> None:
    codenames = [f"{act}_{model_name}" for model_name in model_names]
    group.permissions.add(
        *Permission.objects.using(using).filter(content_type__app_label="queues", codename__in=codenames)
    )
