"""Registration: however often and by how many an address is said, it has one row, and one installation holds it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from notifications.devices import refreshing, registration, transitions, verification
from notifications.devices.formats import Given, Refused
from notifications.models import DeviceTransition, Installation, PushDelivery, PushDevice
from notifications.states import LIVE, DeviceStatus, Reason
from tests.notifications.devices.world import NOW, person, register, subscription, token, told, wish
from tests.queues.engine.threads import together

pytestmark = pytest.mark.django_db


@pytest.fixture
def anna() -> User:
    return person("anna")


def at_once(count: int, job: Callable[[int], Any]) -> None:
    together(*(functools.partial(job, number) for number in range(count)))


def live(user: User) -> list[PushDevice]:
    return list(PushDevice.objects.filter(installation__user=user, status__in=LIVE).order_by("pk"))


def test_a_new_address_is_pending_and_its_test_push_is_on_its_way(anna: User):
    given = Given(transport="fcm", address=token())
    done = registration.register(wish=wish(anna, given, name="Anna's phone", locale="de-AT"), now=NOW)
    device = PushDevice.objects.select_related("installation").get()
    assert done.created
    assert done.device == device
    assert (device.status, device.registered_at, device.last_seen_at) == ("pending", NOW, NOW)
    assert (device.installation.name, device.installation.locale, str(device.installation)) == (
        "Anna's phone",
        "de-AT",
        "Anna's phone",
    )
    delivery = PushDelivery.objects.get()
    assert (delivery.purpose, delivery.device, delivery.user, delivery.expires_at) == ("verify", device, anna, None)
    assert told(device) == ["new→pending registered"]


def test_the_same_again_changes_only_when_it_was_seen(anna: User):
    given = Given(transport="fcm", address=token())
    first = register(anna, given)
    later = NOW + timedelta(days=3)
    transitions.verified(device=first.device, now=NOW)
    again = register(anna, given, now=later)
    assert not again.created
    assert again.device.pk == first.device.pk
    device = PushDevice.objects.get()
    assert (device.status, device.last_seen_at, device.registered_at) == ("active", later, later)
    assert Installation.objects.get().last_seen_at == later
    assert PushDelivery.objects.count() == 1
    assert told(device) == ["new→pending registered", "pending→active verified"]


def test_a_new_address_replaces_the_old_one_in_the_same_transaction(anna: User):
    old = register(anna).device
    transitions.verified(device=old, now=NOW)
    new = register(anna).device
    old.refresh_from_db()
    assert (old.status, old.status_reason, old.superseded_by) == ("invalid", "replaced", new)
    assert live(anna) == [new]
    assert told(old)[-1] == "active→invalid replaced"


def test_another_transport_and_another_installation_live_beside_it(anna: User):
    register(anna)
    register(anna, Given(transport="apns", address="ab" * 32))
    register(anna, installation="tablet")
    assert [device.status for device in live(anna)] == ["pending"] * 3


def test_an_old_address_that_comes_back_is_pending_never_silently_active(anna: User):
    old = Given(transport="fcm", address=token())
    device = register(anna, old).device
    transitions.verified(device=device, now=NOW)
    newer = register(anna).device
    register(anna, old, now=NOW + timedelta(hours=1))
    device.refresh_from_db()
    assert (device.status, device.superseded_by, device.verified_at) == ("pending", None, None)
    assert PushDevice.objects.get(pk=newer.pk).superseded_by == device
    assert PushDelivery.objects.filter(device=device).count() == 2, "and it is asked again"
    assert told(device)[-1] == "invalid→pending registered again"


def test_a_stale_device_that_registers_is_awake(anna: User):
    given = Given(transport="fcm", address=token())
    device = register(anna, given).device
    PushDevice.objects.update(status=DeviceStatus.STALE)
    register(anna, given)
    device.refresh_from_db()
    assert device.status == "active"
    assert told(device)[-1] == "stale→active seen"


def test_the_app_installed_anew_takes_its_address_along(anna: User):
    given = Given(transport="fcm", address=token())
    device = register(anna, given).device
    other = register(anna, installation="anew").device
    moved = register(anna, given, installation="anew").device
    assert moved.pk == device.pk
    assert moved.installation.installation_id == "anew"
    other.refresh_from_db()
    assert (other.status_reason, other.superseded_by) == ("replaced", moved)
    assert live(anna) == [moved]
    assert "pending→pending moved" in told(device)


def test_what_is_refused_stores_nothing(anna: User):
    with pytest.raises(Refused):
        register(anna, Given(transport="fcm", address="not a token!!"))
    assert not Installation.objects.exists()
    assert not PushDevice.objects.exists()


def test_nobody_has_hundreds_of_installations(anna: User, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registration, "INSTALLATIONS_MAX", 2)
    register(anna, installation="one")
    register(anna, installation="two")
    with pytest.raises(registration.TooMany):
        register(anna, installation="three")
    register(anna, installation="one")
    register(person(), installation="three")


# --- Another user's address -----------------------------------------------------------------------------------------


def test_another_users_address_moves_only_with_the_nonce(anna: User):
    given = Given(transport="webpush", **subscription())
    old = register(anna, given).device
    transitions.verified(device=old, now=NOW)
    bert = person("bert")
    claim = register(bert, given, installation="berts").device
    assert claim.pk != old.pk
    assert claim.claims
    assert claim.status == "pending"
    old.refresh_from_db()
    assert old.status == "active", "a claim alone does nothing"
    assert not verification.echoed(device=claim, given="0" * 32, now=NOW)
    assert not verification.echoed(device=claim, given=verification.nonce(old) or "x", now=NOW)
    assert verification.echoed(device=claim, given=verification.nonce(claim), now=NOW)
    old.refresh_from_db()
    claim.refresh_from_db()
    assert (old.status, old.status_reason, old.superseded_by, old.address) == ("invalid", "transferred", claim, "")
    assert (claim.status, claim.claims, claim.address) == ("active", False, given.address)
    assert told(old)[-1] == "active→invalid transferred"
    back = register(anna, given).device
    assert back.pk not in (old.pk, claim.pk)
    assert back.claims, "and back again only with a nonce too"


def test_a_claim_is_idempotent_and_replaces_what_its_own_installation_had(anna: User):
    given = Given(transport="fcm", address=token())
    register(anna, given)
    bert = person("bert")
    before = register(bert).device
    claims = {register(bert, given).device.pk for _ in range(3)}
    assert len(claims) == 1
    before.refresh_from_db()
    assert (before.status_reason, before.superseded_by_id) == ("replaced", claims.pop())


def test_who_logged_out_keeps_nobody_from_the_address_but_the_nonce_is_needed(anna: User):
    given = Given(transport="webpush", **subscription())
    old = register(anna, given).device
    assert registration.log_out(user=anna, app="default", installation_id="phone", now=NOW) == 1
    claim = register(person("bert"), given).device
    assert claim.claims
    assert verification.echoed(device=claim, given=verification.nonce(claim), now=NOW)
    old.refresh_from_db()
    assert (old.status, old.address) == ("unregistered", "")


def test_a_claim_whose_holder_is_gone_still_has_to_be_proven(anna: User):
    given = Given(transport="webpush", **subscription())
    old = register(anna, given).device
    claim = register(person("bert"), given).device
    old.delete()
    again = register(claim.installation.user, given).device
    assert again.pk == claim.pk
    assert again.status == "pending"
    assert verification.echoed(device=again, given=verification.nonce(again), now=NOW)
    again.refresh_from_db()
    assert (again.status, again.claims) == ("active", False)


# --- Many at once ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_64_registrations_of_one_token_at_once_make_one_row():
    anna, given = person("anna"), Given(transport="fcm", address=token())
    at_once(64, lambda number: register(anna, given, now=timezone.now()))
    assert PushDevice.objects.count() == Installation.objects.count() == 1
    assert PushDelivery.objects.count() == 1
    assert DeviceTransition.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_token_from_many_installations_at_once_is_one_row_and_one_of_them_has_it():
    anna, given = person("anna"), Given(transport="fcm", address=token())
    at_once(16, lambda number: register(anna, given, installation=f"i{number % 8}", now=timezone.now()))
    assert PushDevice.objects.count() == 1
    assert Installation.objects.count() == 8


@pytest.mark.django_db(transaction=True)
def test_a_storm_of_refreshes_leaves_one_live_address():
    anna = person("anna")
    tokens = [token() for _ in range(8)]
    at_once(32, lambda number: register(anna, Given(transport="fcm", address=tokens[number % 8]), now=timezone.now()))
    assert PushDevice.objects.count() == 8
    (one,) = live(anna)
    for device in PushDevice.objects.exclude(pk=one.pk):
        assert (device.status, device.status_reason) == ("invalid", "replaced")


@pytest.mark.django_db(transaction=True)
def test_two_users_and_one_token_at_once_have_one_holder_and_one_claim():
    users, given = [person("anna"), person("bert")], Given(transport="fcm", address=token())
    at_once(16, lambda number: register(users[number % 2], given, now=timezone.now()))
    assert sorted(PushDevice.objects.values_list("claims", flat=True)) == [False, True]


@pytest.mark.django_db(transaction=True)
def test_two_claims_proven_at_once_leave_one_holder():
    given = Given(transport="webpush", **subscription())
    register(person("anna"), given)
    claims = [register(person(f"claimant{number}"), given).device for number in range(8)]

    def prove(number: int) -> None:
        claim = claims[number]
        verification.echoed(device=claim, given=verification.nonce(claim), now=NOW)

    at_once(8, prove)
    holders = PushDevice.objects.filter(claims=False, address=given.address, status__in=LIVE)
    assert holders.count() == 1
    assert PushDevice.objects.filter(status_reason=Reason.TRANSFERRED).count() == 8


# --- Refreshing without a log-in ------------------------------------------------------------------------------------


def test_the_refresh_token_gives_its_own_installation_a_new_address_until_it_is_removed(anna: User):
    device = register(anna, Given(transport="webpush", **subscription())).device
    held = refreshing.token(device)
    assert refreshing.owner(held) == device
    newer = register(anna, Given(transport="webpush", **subscription()), now=NOW + timedelta(hours=1)).device
    assert refreshing.owner(held) == newer
    registration.remove(device=newer, reason=Reason.LOGGED_OUT, now=NOW)
    with pytest.raises(refreshing.BadToken):
        refreshing.owner(held)


@pytest.mark.parametrize(
    "spoilt", [lambda text: "9" + text, lambda text: text[:-1], lambda text: "", lambda text: "x" * 10_000]
)
def test_a_spoilt_refresh_token_is_no_use(anna: User, spoilt: Any):
    device = register(anna, Given(transport="webpush", **subscription())).device
    with pytest.raises(refreshing.BadToken):
        refreshing.owner(spoilt(refreshing.token(device)))


def test_a_refresh_token_of_somebody_who_left_is_no_use(anna: User):
    device = register(anna, Given(transport="webpush", **subscription())).device
    User.objects.update(is_active=False)
    with pytest.raises(refreshing.BadToken):
        refreshing.owner(refreshing.token(device))
