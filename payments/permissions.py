"""Who may do what with money: the permissions of the app, given to the groups that come with it.

    payments.checkout_order    buy (group Customer, and programs)
    payments.refund_order      refund, also a problem's payment      payments.resolve_problem    close a problem
    payments.view_…            look (Operator and Observer)

What an administrator took from a group stays taken: each is given once, when it is made.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from payments.models import Dispute, Invoice, Order, Problem, Product, Refund, Subscription
from queues.desk.permissions import OBSERVER, OPERATOR

CUSTOMER = "Customer"
SEEN = (Order, Refund, Dispute, Problem, Product, Subscription, Invoice)


def ensure(sender: AppConfig, using: str = "default", **_: Any) -> None:
    """Make the group and give what is new; a `post_migrate` receiver, safe to repeat."""
    with transaction.atomic(using=using):
        group, new = Group.objects.using(using).get_or_create(name=CUSTOMER)
        if not new:
            return
        group.permissions.add(_permission("checkout_order", Order, using))
        for name in (OPERATOR, OBSERVER):
            staff, _made = Group.objects.using(using).get_or_create(name=name)
            for model in SEEN:
                staff.permissions.add(_permission(f"view_{model._meta.model_name}", model, using))
            if name == OPERATOR:
                staff.permissions.add(_permission("refund_order", Order, using))
                staff.permissions.add(_permission("resolve_problem", Problem, using))


def _permission(codename: str, model: Any, using: str) -> Permission:
    """Django makes it too, but perhaps after us."""
    content_type = ContentType.objects.db_manager(using).get_for_model(model)
    names = {**dict(model._meta.permissions), f"view_{model._meta.model_name}": f"Can view {model._meta.verbose_name}"}
    made, _new = Permission.objects.using(using).get_or_create(
        content_type=content_type, codename=codename, defaults={"name": names[codename]}
    )
    return made
