"""Who may do what: the permissions of the app, given to the groups that come with it.

    analytics.record_any_event    record events of every campaign (group Event recorder: the product's own programs)
    analytics.add_event           record events of one's own campaigns
    analytics.view_campaign       see every campaign (Operator and Observer)
    analytics.drill_campaign      rehearse failures (Operator)

Customers need none: owner and members of a campaign see it. What an administrator took from a group stays taken.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from analytics.models import Campaign, Creative, Drill, Event, PanelSnapshot, QueryStat, RefreshState
from queues.desk.permissions import OBSERVER, OPERATOR

RECORDER = "Event recorder"
SEEN = (Campaign, Creative, PanelSnapshot, QueryStat, RefreshState, Drill)


def ensure(sender: AppConfig, using: str = "default", **_: Any) -> None:
    """Make the group and give what is new; a `post_migrate` receiver, safe to repeat."""
    with transaction.atomic(using=using):
        group, new = Group.objects.using(using).get_or_create(name=RECORDER)
        if not new:
            return
        group.permissions.add(_permission("record_any_event", Event, using))
        for name in (OPERATOR, OBSERVER):
            staff, _made = Group.objects.using(using).get_or_create(name=name)
            for model in SEEN:
                staff.permissions.add(_permission(f"view_{model._meta.model_name}", model, using))
            if name == OPERATOR:
                staff.permissions.add(_permission("drill_campaign", Campaign, using))


def _permission(codename: str, model: Any, using: str) -> Permission:
    """Django makes it too, but perhaps after us."""
    content_type = ContentType.objects.db_manager(using).get_for_model(model)
    names = {**dict(model._meta.permissions), f"view_{model._meta.model_name}": f"Can view {model._meta.verbose_name}"}
    made, _new = Permission.objects.using(using).get_or_create(
        content_type=content_type, codename=codename, defaults={"name": names[codename]}
    )
    return made
