"""How the desk draws push: a word, a shape and a colour for the states of deliveries, devices and lanes."""

from __future__ import annotations

from django.utils.safestring import SafeString

from notifications.api.device_forms import hint
from notifications.models import Lane, PushDelivery, PushDevice
from notifications.sending import words
from notifications.states import DeviceStatus
from queues.desk import marks

DEVICE = {
    DeviceStatus.PENDING: "pending",
    DeviceStatus.ACTIVE: "good",
    DeviceStatus.SUSPECT: "warning",
    DeviceStatus.STALE: "paused",
    DeviceStatus.INVALID: "bad",
    DeviceStatus.UNREGISTERED: "cancelled",
}
LANE = {Lane.State.OPEN: "good", Lane.State.HALF_OPEN: "retrying", Lane.State.STOPPED: "bad"}


def delivery(row: PushDelivery) -> SafeString:
    """Where the push stands."""
    word = words.of(row).word
    return marks.badge(words.SHAPES[word], word.capitalize())


def device(row: PushDevice) -> SafeString:
    """Whether pushes reach it."""
    if row.quarantined_at is not None:
        return marks.badge("warning", "In quarantine")
    return marks.badge(DEVICE[DeviceStatus(row.status)], row.get_status_display())


def state(status: str) -> tuple[str, str]:
    """Shape and word of a state in a history."""
    return DEVICE.get(DeviceStatus(status), "note"), DeviceStatus(status).label


def lane(row: Lane) -> SafeString:
    """Whether it carries pushes."""
    return marks.badge(LANE[Lane.State(row.state)], row.get_state_display())


def address(row: PushDevice, *, whole: bool) -> str:
    """Where it is sent to; only its end, unless this person may see it."""
    return row.address if whole else hint(row.address)
