"""Refreshing without a log-in: the browser itself replaces a subscription (`pushsubscriptionchange`), perhaps long
after its user's session has ended. A signed token, given at registration, may give this one installation a new address.

It ends with the device: who logged out or removed the device has made it worthless.
"""

from __future__ import annotations

from django.core import signing

from notifications.models import PushDevice
from notifications.states import DeviceStatus, Reason

SALT = "notifications.refresh"
TOKEN_MAX = 200


class BadToken(ValueError):
    """The token was not made by us, or its device has been removed since."""


def token(device: PushDevice) -> str:
    """What the device's client keeps."""
    return _signer().sign(f"{device.installation_id}:{device.transport}")


def owner(given: str) -> PushDevice:
    """The newest device of the token's installation and transport. Raises BadToken."""
    try:
        installation, _, transport = _signer().unsign(given[: TOKEN_MAX + 1]).partition(":")
    except signing.BadSignature as error:
        raise BadToken("not a token of ours") from error
    rows = PushDevice.objects.filter(installation_id=int(installation), transport=transport, claims=False)
    device = rows.select_related("installation__user").order_by("-registered_at", "-pk").first()
    if device is None or not device.installation.user.is_active:
        raise BadToken("its device is gone")
    if device.status == DeviceStatus.UNREGISTERED or device.status_reason == Reason.TRANSFERRED:
        raise BadToken("its device was removed")
    return device


def _signer() -> signing.Signer:
    return signing.Signer(salt=SALT, sep=".")
