"""Who may do what with money: the permissions of the app, given to the groups that come with it.

    payments.checkout_order    buy (group Customer, and programs)
    payments.refund_order      refund, also a problem's payment      payments.resolve_problem     close a problem
    payments.view_…            look (all staff)                      payments.change_product, …   keep the catalogue

Administrator may do all of it, Operator refund and resolve, Observer look. What was taken from a group stays taken:
each is given once, when the group first meets this app.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from payments.models import Dispute, Invoice, Order, Problem, Product, Refund, Subscription
from queues.desk.permissions import ADMINISTRATOR, OBSERVER, OPERATOR

CUSTOMER = "Customer"
STAFF = (OBSERVER, OPERATOR, ADMINISTRATOR)
SEEN = (Order, Refund, Dispute, Problem, Product, Subscription, Invoice)


def ensure(sender: AppConfig, using: str = "default", **_: Any) -> None:
    """Make the groups and give what is new; a `post_migrate` receiver, safe to repeat."""
    with transaction.atomic(using=using):
        groups = {name: Group.objects.using(using).get_or_create(name=name)[0] for name in (CUSTOMER, *STAFF)}
        check_out = _permission("checkout_order", Order, using)
        if check_out.group_set.exists() or _given(groups[OPERATOR], using):
            return
        groups[CUSTOMER].permissions.add(check_out)
        for name in STAFF:
            groups[name].permissions.add(*(_permission(f"view_{each._meta.model_name}", each, using) for each in SEEN))
        for name in (OPERATOR, ADMINISTRATOR):
            groups[name].permissions.add(
                _permission("refund_order", Order, using), _permission("resolve_problem", Problem, using)
            )
        groups[ADMINISTRATOR].permissions.add(
            *(_permission(f"{act}_product", Product, using) for act in ("add", "change", "delete"))
        )


def _given(group: Group, using: str) -> bool:
    """Whether the group was given this app's rights before: another app may have made the groups."""
    return Permission.objects.using(using).filter(content_type__app_label="payments", group=group).exists()


def _permission(codename: str, model: Any, using: str) -> Permission:
    """Django makes it too, but perhaps after us."""
    content_type = ContentType.objects.db_manager(using).get_for_model(model)
    acts = ("view", "add", "change", "delete")
    names = {f"{act}_{model._meta.model_name}": f"Can {act} {model._meta.verbose_name}" for act in acts}
    names |= dict(model._meta.permissions)
    made, _new = Permission.objects.using(using).get_or_create(
        content_type=content_type, codename=codename, defaults={"name": names[codename]}
    )
    return made
