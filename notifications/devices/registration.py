"""Registration: an address becomes the one live address of its installation, however often and by how many it is said.

    same address, same installation ──▶ seen (renewed, if it had ended)
    same address, another installation of the same user ──▶ moves there (the app was installed anew)
    new address ──▶ pending; what was live before is `replaced` in the same transaction
    another user's address ──▶ a pending row that claims it; it moves once the device has echoed a nonce

All of it is one transaction, which first locks the installation: registrations of one installation wait for each
other, and two installations that meet at one address lock its rows in the order of their keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from notifications.devices import formats, transitions, verification
from notifications.devices.formats import Checked
from notifications.models import Installation, PushDevice
from notifications.states import ENDED, LIVE, DeviceStatus, Reason

SESSION_KEY = "push_installation"
"""Where a session keeps which installation was registered in it: its log-out ends that one's pushes."""
DESCRIBED = ("platform", "name", "locale", "app_version")
INSTALLATIONS_MAX = 200
"""Of one user: more are a loop in somebody's program."""
SEEN_EVERY = timedelta(seconds=1)
"""`last_seen_at` is no older than this."""
TRIES = 5


class TooMany(Exception):
    """The user has more installations than anyone can hold in hands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a client asks for. `about` holds what it says of itself: some of `DESCRIBED`."""

    user: User
    installation_id: str
    given: formats.Given
    app: str = "default"
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Registered:
    """The device, and whether it is a new row."""

    device: PushDevice
    created: bool


def register(*, wish: Wish, now: datetime) -> Registered:
    """Make the address the installation's live one of its transport. Raises formats.Refused or TooMany."""
    checked = formats.check(wish.given)
    if (same := _just_said(wish, checked, now)) is not None:
        return Registered(same, created=False)
    with transaction.atomic():
        installation = _installation(wish, now)
        device, created = _row(installation, checked, now)
        if created:
            verification.ask(device=device, now=now)
        else:
            _meet(device, installation, checked, now)
            verification.begin(device=device, now=now)
    return Registered(device, created)


def describe(*, device: PushDevice, about: Mapping[str, str], now: datetime) -> None:
    """What the client says of itself changed, or it only says that it is still there."""
    changes: dict[str, Any] = {name: about[name] for name in DESCRIBED if name in about} | {"last_seen_at": now}
    with transaction.atomic():
        Installation.objects.filter(pk=device.installation_id).update(**changes)
        transitions.seen(device=device, now=now)
    for name, value in changes.items():
        setattr(device.installation, name, value)


def remove(*, device: PushDevice, reason: str, now: datetime) -> bool:
    """Its user, or the client that logs out, ends it. False if it had ended before."""
    return transitions.unregistered(device=device, reason=reason, now=now)


def log_out(*, user: User, app: str, installation_id: str, now: datetime) -> int:
    """End every live address of an installation of the user's; return how many there were."""
    devices = PushDevice.objects.filter(
        installation__user=user, installation__app=app, installation__installation_id=installation_id, status__in=LIVE
    )
    return sum(remove(device=device, reason=Reason.LOGGED_OUT, now=now) for device in devices.order_by("pk"))


def _just_said(wish: Wish, checked: Checked, now: datetime) -> PushDevice | None:
    """The device, if this very registration was made a moment ago: a storm of them need not queue for one lock."""
    rows = PushDevice.objects.filter(
        app=wish.app,
        transport=checked.transport,
        environment=checked.environment,
        address_sha256=checked.sha256,
        claims=False,
        installation__user_id=wish.user.pk,
        installation__app=wish.app,
        installation__installation_id=wish.installation_id,
        status__in=(DeviceStatus.PENDING, DeviceStatus.ACTIVE),
        last_seen_at__gt=now - SEEN_EVERY,
        last_seen_at__lte=now + SEEN_EVERY,
        p256dh=checked.p256dh,
        auth=checked.auth,
        expiration_time=checked.expiration_time,
    )
    device = rows.select_related("installation").first()
    same = device is not None and all(getattr(device.installation, name) == wish.about[name] for name in wish.about)
    return device if same else None


def _installation(wish: Wish, now: datetime) -> Installation:
    """The locked row, made if need be."""
    of = {"user_id": wish.user.pk, "app": wish.app, "installation_id": wish.installation_id}
    about = {name: wish.about[name] for name in DESCRIBED if name in wish.about}
    rows = Installation.objects.select_for_update()
    found = rows.filter(**of).first()
    if found is None:
        if Installation.objects.filter(user_id=wish.user.pk).count() >= INSTALLATIONS_MAX:
            raise TooMany
        made = Installation(**of, **about, created_at=now, last_seen_at=now)
        Installation.objects.bulk_create([made], ignore_conflicts=True)
        return rows.get(**of)
    changes = {**about, "last_seen_at": now}
    Installation.objects.filter(pk=found.pk).update(**changes)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def _row(installation: Installation, checked: Checked, now: datetime) -> tuple[PushDevice, bool]:
    """The installation's row of the address, locked; what else was live of it is replaced."""
    retired: list[PushDevice] = []
    for _ in range(TRIES):
        rows = _locked(installation, checked)
        same = [row for row in rows if _is(row, checked)]
        holder = next((row for row in same if not row.claims), None)
        foreign = holder is not None and holder.installation.user_id != installation.user_id
        known = holder if not foreign else None
        known = known or next((row for row in same if row.claims and row.installation_id == installation.pk), None)
        for other in rows:
            if other is not known and _is_live_of(other, installation):
                transitions.replaced(device=other, now=now)
                retired.append(other)
        device = known or _insert(installation, checked, now, claims=foreign)
        if device is not None:
            # Old addresses point to what took their place, so that what was to go there can follow.
            PushDevice.objects.filter(pk__in=[other.pk for other in retired]).update(superseded_by=device)
            return device, known is None
        # Somebody inserted the same address in the moment between: now it can be seen.
    raise RuntimeError("an address is neither there nor can it be inserted")


def _locked(installation: Installation, checked: Checked) -> list[PushDevice]:
    """Who holds the address, the installation's own claim of it, and its live addresses of the transport.

    Locked in one statement in the order of their keys: two registrations that meet wait for each other, no more.
    """
    place = {"app": installation.app, "transport": checked.transport, "environment": checked.environment}
    holds = Q(**place, address_sha256=checked.sha256, claims=False)
    own = Q(installation=installation, transport=checked.transport)
    wanted = holds | own & (Q(status__in=LIVE) | Q(address_sha256=checked.sha256, claims=True))
    rows = PushDevice.objects.select_for_update(of=("self",)).filter(wanted).order_by("pk")
    return list(rows.select_related("installation"))


def _is(row: PushDevice, checked: Checked) -> bool:
    return row.address_sha256 == checked.sha256 and row.environment == checked.environment


def _is_live_of(row: PushDevice, installation: Installation) -> bool:
    return row.installation_id == installation.pk and row.status in LIVE


def _insert(installation: Installation, checked: Checked, now: datetime, *, claims: bool) -> PushDevice | None:
    device = PushDevice(
        installation=installation,
        app=installation.app,
        transport=checked.transport,
        environment=checked.environment,
        address_kind=checked.kind,
        address=checked.address,
        address_sha256=checked.sha256,
        p256dh=checked.p256dh,
        auth=checked.auth,
        vapid_key_thumbprint=checked.vapid_key_thumbprint,
        expiration_time=checked.expiration_time,
        status_changed_at=now,
        registered_at=now,
        last_seen_at=now,
        claims=claims,
        **verification.seed(now=now),
    )
    PushDevice.objects.bulk_create([device], ignore_conflicts=True)
    made = PushDevice.objects.filter(
        installation=installation,
        app=installation.app,
        transport=checked.transport,
        environment=checked.environment,
        address_sha256=checked.sha256,
        claims=claims,
    ).first()
    if made is None:
        return None
    made.installation = installation
    transitions.registered(device=made, now=now)
    return made


def _meet(device: PushDevice, installation: Installation, checked: Checked, now: datetime) -> None:
    """The address was known: take what its client says now, and live again if it had ended."""
    changes: dict[str, Any] = {
        "registered_at": now,
        "last_seen_at": now,
        "address": checked.address,
        "address_kind": checked.kind,
        "p256dh": checked.p256dh,
        "auth": checked.auth,
        "vapid_key_thumbprint": checked.vapid_key_thumbprint or device.vapid_key_thumbprint,
        "expiration_time": checked.expiration_time,
    }
    if device.installation_id != installation.pk:
        changes["installation_id"] = installation.pk
        device.installation = installation
        transitions.note(device=device, cause="moved", now=now, words="The app was installed anew.")
    PushDevice.objects.filter(pk=device.pk).update(**changes)
    for name, value in changes.items():
        setattr(device, name, value)
    if device.status in ENDED:
        fresh: dict[str, Any] = {"superseded_by_id": None, "quarantined_at": None, "verified_at": None}
        fresh |= {"failure_count": 0, "proof_seed": "", "proof_asked_at": None}
        transitions.renewed(device=device, now=now, **fresh)
    elif device.status == DeviceStatus.STALE:
        transitions.seen(device=device, now=now)
