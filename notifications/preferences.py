"""What a user wants pushed, written down: one row a category, quiet hours on the row of all of them (`""`).

Read by `sending.wishes`. No row means: wanted, at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from zoneinfo import available_timezones

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from notifications.models import Preference, PushDelivery
from notifications.sending.wishes import EVERYTHING

RECENT = 500
"""Of a user's deliveries: their categories can be chosen from too."""


class Refused(ValueError):
    """Not a choice that can be kept; `errors` says what is wrong with which field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = errors
        super().__init__("; ".join(errors.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a user chose. `quiet_from` and `quiet_until` belong together; both None: no quiet hours."""

    everything: bool = True
    categories: Mapping[str, bool] = field(default_factory=dict)
    quiet_from: time | None = None
    quiet_until: time | None = None
    time_zone: str = "UTC"


def current(user: User) -> Choice:
    """The user's choice now, with every category there is to choose from."""
    rows = {row.category: row for row in Preference.objects.filter(user_id=user.pk)}
    common = rows.pop(EVERYTHING, Preference())
    recent = PushDelivery.objects.filter(user_id=user.pk).order_by("-pk").values_list("kind", flat=True)[:RECENT]
    names = dict.fromkeys([*settings.PUSH_CATEGORIES, *sorted({*rows, *recent} - {EVERYTHING})])
    return Choice(
        everything=common.wanted,
        categories={name: rows[name].wanted if name in rows else True for name in names},
        quiet_from=common.quiet_from,
        quiet_until=common.quiet_until,
        time_zone=common.time_zone,
    )


def choose(*, user: User, choice: Choice) -> None:
    """Keep it, all or nothing. Raises Refused."""
    _check(user, choice)
    common = {
        "wanted": choice.everything,
        "quiet_from": choice.quiet_from,
        "quiet_until": choice.quiet_until,
        "time_zone": choice.time_zone,
    }
    with transaction.atomic():
        Preference.objects.update_or_create(user_id=user.pk, category=EVERYTHING, defaults=common)
        for name, wanted in choice.categories.items():
            Preference.objects.update_or_create(user_id=user.pk, category=name, defaults={"wanted": wanted})


def _check(user: User, choice: Choice) -> None:
    errors: dict[str, str] = {}
    if (choice.quiet_from is None) != (choice.quiet_until is None):
        errors["quiet"] = "Quiet hours need a beginning and an end."
    elif choice.quiet_from is not None and choice.quiet_from == choice.quiet_until:
        errors["quiet"] = "Quiet hours that begin when they end are none; leave both empty."
    if choice.time_zone not in available_timezones():
        errors["time_zone"] = "There is no such time zone."
    if unknown := set(choice.categories) - set(current(user).categories):
        errors["categories"] = f"There is no category {sorted(unknown)[0][:100]!r}."
    if errors:
        raise Refused(errors)
