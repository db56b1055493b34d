"""Whose campaigns are whose: owner and members see a campaign, staff with `analytics.view_campaign` see all."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, QuerySet

from analytics.models import Campaign

type Person = User | AnonymousUser


def visible(user: Any) -> QuerySet[Campaign]:
    """The campaigns this person may look at."""
    if not user.is_authenticated or not user.is_active:
        return Campaign.objects.none()
    if user.has_perm("analytics.view_campaign"):
        return Campaign.objects.all()
    return Campaign.objects.filter(_own(user))


def recordable(user: Any) -> QuerySet[Campaign]:
    """The campaigns this caller may record events of (`analytics.add_event` is asked by the interface)."""
    if user.has_perm("analytics.record_any_event"):
        return Campaign.objects.all()
    return Campaign.objects.filter(_own(user))


def _own(user: Any) -> Q:
    # A subquery instead of a join, which would give a row for each member.
    return Q(owner_id=user.pk) | Q(
        pk__in=Campaign.members.through.objects.filter(user_id=user.pk).values("campaign_id")
    )
