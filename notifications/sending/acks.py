"""Acknowledgements: the device says that a push arrived, or was opened, through a signed link that the push carried.

    sent ─▶ accepted ─▶ delivered ─▶ opened          never back, and `opened` without `delivered` means both

No push service reports delivery to a plain sender, so this word comes from the device itself.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.db import router, transaction
from django.db.models import F
from django.db.models.functions import Coalesce

from notifications.devices import transitions as devices
from notifications.devices import verification
from notifications.models import PushDelivery
from queues.engine import transitions

SALT = "notifications.push.ack"
LASTS = timedelta(days=30)
"""Longer than the longest TTL; a device that was off for longer has lost the push."""
TOKEN_MAX = 200
EVENTS = ("delivered", "opened")


class BadToken(ValueError):
    """The link was not made by us, or was damaged on its way."""


class Expired(BadToken):
    """It was, but too long ago."""


def url_for(delivery_id: int) -> str:
    """The absolute address at which the device acknowledges this delivery."""
    return f"{settings.BASE_URL}/push/ack/{_signer().sign(str(delivery_id))}/"


def read(token: str) -> int:
    """The delivery that a link stands for. Raises BadToken."""
    try:
        if len(token) > TOKEN_MAX:
            raise BadToken("too long")
        return int(_signer().unsign(token, max_age=LASTS))
    except signing.SignatureExpired as error:
        raise Expired("older than a device keeps a push") from error
    except (signing.BadSignature, ValueError) as error:
        raise BadToken("not a link of ours") from error


def acknowledge(*, delivery_id: int, event: str, now: datetime) -> bool:
    """Write down what the device says; safe to repeat, in any order. Returns whether the delivery is still there."""
    with transaction.atomic(using=router.db_for_write(PushDelivery)):
        rows: Any = PushDelivery.objects.select_for_update(of=("self",))
        row: PushDelivery | None = rows.select_related("device__installation").filter(pk=delivery_id).first()
        if row is None:
            return False
        changes: dict[str, Any] = {
            "delivered_at": Coalesce("delivered_at", now),
            "accepted_at": Coalesce("accepted_at", now),
        }
        if event == "opened":
            changes["opened_at"] = Coalesce("opened_at", now)
        if all(getattr(row, name) is not None for name in changes):
            return True
        PushDelivery.objects.filter(pk=delivery_id).update(**changes, version=F("version") + 1)
        # It was taken although its answer was lost: it need not be sent again.
        transitions.confirm(PushDelivery, item_id=delivery_id, now=now)
        if row.purpose == PushDelivery.Purpose.VERIFY:
            verification.acknowledged(delivery=row, now=now)
        if row.device is not None:
            devices.confirmed(device=row.device, delivery_id=delivery_id, now=now)
    return True


def _signer() -> signing.TimestampSigner:
    return signing.TimestampSigner(salt=SALT, sep=".")
