"""How templates write a device's state: a shape, a word, a colour; never a colour alone."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from notifications.models import PushDevice
from notifications.states import DeviceStatus

register = template.Library()

RING = 'fill="none" stroke="currentColor" stroke-width="1.8"'
CIRCLE = f'<circle cx="8" cy="8" r="6.5" {RING}/>'
SHAPES = {
    DeviceStatus.PENDING: f'<path d="M4 1.8h8M4 14.2h8M5 1.8c0 4 6 8.4 6 12.4M11 1.8c0 4-6 8.4-6 12.4" {RING}/>',
    DeviceStatus.ACTIVE: f'{CIRCLE}<path d="M4.8 8.3l2.3 2.3 4.2-4.8" {RING}/>',
    DeviceStatus.SUSPECT: f'<path d="M8 1.8l6.6 12H1.4zM8 6v4m0 1.4v1.4" {RING}/>',
    DeviceStatus.STALE: f'{CIRCLE}<path d="M8 4.2V8l2.8 1.8" {RING}/>',
    DeviceStatus.INVALID: f'<path d="M5 2h6l3 3v6l-3 3H5l-3-3V5zM5.5 5.5l5 5m0-5l-5 5" {RING}/>',
    DeviceStatus.UNREGISTERED: f'{CIRCLE}<path d="M4.8 8h6.4" {RING}/>',
}
"""In a box of 16 by 16."""
WORDS = {
    DeviceStatus.PENDING: ("Being checked", "A test notification is on its way to it."),
    DeviceStatus.ACTIVE: ("On", "It gets notifications."),
    DeviceStatus.SUSPECT: ("Hard to reach", "The last notifications did not get through. It is tried again."),
    DeviceStatus.STALE: ("Asleep", "Not seen for a while: it gets only what matters until it comes back."),
    DeviceStatus.INVALID: ("Ended", "Its address is not valid any more. Opening the app there registers it again."),
    DeviceStatus.UNREGISTERED: ("Off", "It was logged out or switched off."),
}
"""For its owner; staff read the states' own names."""
CAUSES = {
    "registered": "Registered",
    "registered again": "Registered again",
    "verified": "Checked: it can be reached",
    "asked": "Test notification sent, waiting for its answer",
    "not verified": "The test notification did not get through",
    "seen": "Came back",
    "confirmed": "Answered a notification",
    "accepted again": "Could be reached again",
    "suspected": "Could not be reached",
    "refused": "The push service does not know it any more",
    "replaced": "Replaced by a newer address",
    "transferred": "Another account proved to use this device",
    "moved": "The app was installed anew",
    "unseen": "Not seen for a long time",
    "unregistered": "Switched off",
    "quarantined": "Held back until our staff have looked at it",
    "restored": "Taken back into use by our staff",
    "released": "Given up by our staff",
}


@register.simple_tag
def device_badge(device: PushDevice) -> SafeString:
    """The state of a device for its owner."""
    return format_html(
        '<span class="badge badge-device-{}"><svg viewBox="0 0 16 16" aria-hidden="true">{}</svg>{}</span>',
        device.status,
        mark_safe(SHAPES[DeviceStatus(device.status)]),  # noqa: S308  (ours)
        WORDS[DeviceStatus(device.status)][0],
    )


@register.filter
def device_words(device: PushDevice) -> str:
    """What the state means for its owner."""
    return WORDS[DeviceStatus(device.status)][1]


@register.filter
def device_cause(cause: str) -> str:
    """One line of the timeline for its owner."""
    return CAUSES.get(cause, cause.capitalize())


@register.filter
def category_name(name: str) -> str:
    """`order_updates` as people write it."""
    return name.replace("_", " ").replace(".", " ").capitalize()
