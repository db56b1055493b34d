"""Who may do what with push: the permissions of the app, given to the groups that come with it.

    notifications.add_pushdelivery   push to users (programs)        notifications.register_device  (group Customer)
    notifications.test_device        send a test push                notifications.unregister_device
    notifications.resume_lane        resume lanes, judge quarantines notifications.view_…   look (Operator and Observer)
    notifications.view_address       see tokens and endpoints in full (Administrator)

The acts on deliveries are the desk's. What an administrator took from a group stays taken: each is given once, when
the group first meets this app.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction

from notifications.models import Installation, Lane, PushDevice
from queues.desk.permissions import ADMINISTRATOR, OBSERVER, OPERATOR

CUSTOMER = "Customer"
SEEN = (Installation, PushDevice, Lane)
"""Deliveries are a queue's items: the desk gives the right to see them. A device's history is shown on its page."""
ACTS = (
    (PushDevice, "test_device"),
    (PushDevice, "unregister_device"),
    (Lane, "resume_lane"),
)
"""What Operator and Administrator may do; to push is for programs, whose users are given it by hand."""


def ensure(sender: AppConfig, using: str = "default", **_: Any) -> None:
    """Make the permissions and give what is new; a `post_migrate` receiver, safe to repeat."""
    with transaction.atomic(using=using):
        groups = {}
        for name in (OPERATOR, OBSERVER, ADMINISTRATOR, CUSTOMER):
            groups[name], _made = Group.objects.using(using).get_or_create(name=name)
        if _given(groups[OPERATOR], using):
            return
        groups[CUSTOMER].permissions.add(_permission("register_device", Installation, using))
        for name in (OPERATOR, OBSERVER, ADMINISTRATOR):
            groups[name].permissions.add(*(_permission(f"view_{m._meta.model_name}", m, using) for m in SEEN))
        for name in (OPERATOR, ADMINISTRATOR):
            groups[name].permissions.add(*(_permission(codename, model, using) for model, codename in ACTS))
        groups[ADMINISTRATOR].permissions.add(_permission("view_address", PushDevice, using))


def _given(group: Group, using: str) -> bool:
    """Whether the group was given this app's rights before."""
    ours = Permission.objects.using(using).filter(content_type__app_label="notifications", group=group)
    return ours.filter(codename__in=[f"view_{model._meta.model_name}" for model in SEEN]).exists()


def _permission(codename: str, model: type[models.Model], using: str) -> Permission:
    """Django makes it too, but perhaps after us."""
    content_type = ContentType.objects.db_manager(using).get_for_model(model)
    words = str(model._meta.verbose_name)
    names = {f"{act}_{model._meta.model_name}": f"Can {act} {words}" for act in ("add", "view")}
    names |= dict(model._meta.permissions)
    made, _new = Permission.objects.using(using).get_or_create(
        content_type=content_type, codename=codename, defaults={"name": names[codename]}
    )
    return made
