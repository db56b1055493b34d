"""`/api/v1/devices/`: who may call what, what is refused and how, what a client is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from notifications import urls
from notifications.devices import refreshing, registration, transitions, verification
from notifications.devices.formats import Given
from notifications.models import Installation, PushDevice
from notifications.transports import keys, vapid
from tests.notifications.devices.world import VAPID_PRIVATE_KEY, person, register, subscription, token
from tests.queues.desk.api_caller import Program, problem

pytestmark = pytest.mark.django_db

LIST = "/api/v1/devices/"
ONE = "/api/v1/devices/{pk}/"
VERIFY = "/api/v1/devices/{pk}/verify/"
REFRESH = "/push/refresh/"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ALLOWED: dict[str, dict[str, int]] = {
    LIST: {"GET": 200, "HEAD": 200, "POST": 201},
    ONE: {"GET": 200, "HEAD": 200, "PUT": 201, "PATCH": 200, "DELETE": 204},
    VERIFY: {"POST": 409},
}
"""Address -> method -> what its owner gets; any other method is 405."""


def body(**parts: Any) -> dict[str, Any]:
    return {"transport": "fcm", "address": token(), "installation_id": "phone", **parts}


BODIES: dict[tuple[str, str], Callable[[], dict[str, Any]]] = {
    (LIST, "POST"): body,
    (ONE, "PUT"): lambda: {"address": token()},
    (ONE, "PATCH"): lambda: {"name": "Phone"},
    (VERIFY, "POST"): lambda: {"nonce": "0" * 32},
}


def permitted(user: User) -> User:
    user.user_permissions.add(Permission.objects.get(codename="register_device"))
    return user


def session(user: User | None = None, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(user or person())
    return client


def program(user: User | None = None) -> Client:
    return Program(user=permitted(user or person())).client


def send(client: Client, method: str, path: str, data: Any = None, **headers: str) -> Any:
    text = json.dumps(data) if data is not None else ""
    return client.generic(method, path, text, content_type="application/json", headers=headers)


def ask(client: Client, method: str, path: str, of: User) -> Any:
    pk = register(of).device.pk
    made = BODIES.get((path, method))
    return send(client, method, path.format(pk=pk), made() if made else None)


def test_the_matrix_knows_every_address():
    paths = {f"/{each.pattern}".replace("<id:pk>", "{pk}") for each in urls.urlpatterns}
    assert {path for path in paths if path.startswith("/api/v1/devices/")} == set(ALLOWED)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ALLOWED)
def test_every_caller_and_method(path: str, method: str):
    anna = permitted(person())
    expired = Program(user=anna, expires_at=timezone.now() - timedelta(seconds=1)).client
    wrong = Client(headers={"Authorization": "Bearer rdr_" + "x" * 43})
    for stranger, code in ((Client(), "not_authenticated"), (wrong, "token_invalid"), (expired, "token_expired")):
        response = ask(stranger, method, path, anna)
        assert response.status_code == 401
        if method != "HEAD":
            assert problem(response)["code"] == code
    allowed = ALLOWED[path].get(method, 405)
    bare = ask(Program(user=person()).client, method, path, anna)
    assert bare.status_code == (403 if allowed != 405 else 405), "a program without the permission"
    for owner in (session(anna), program(anna)):
        response = ask(owner, method, path, anna)
        assert response.status_code == allowed
        assert "no-store" in response.headers["Cache-Control"]
    for other in (session(), program(), session(User.objects.create_superuser(f"root{person().pk}"))):
        response = ask(other, method, path, anna)
        assert response.status_code == (allowed if path == LIST or allowed == 405 else 404), "nobody else's device"


def test_a_session_needs_the_csrf_token_and_a_bearer_token_does_not():
    assert send(session(enforce_csrf_checks=True), "POST", LIST, body()).status_code == 403
    client = program()
    client.handler.enforce_csrf_checks = True
    assert send(client, "POST", LIST, body()).status_code == 201


def test_registering_answers_with_what_the_client_needs(settings: Settings):
    settings.VAPID_PRIVATE_KEY = VAPID_PRIVATE_KEY
    client, given = session(), {"transport": "webpush", "installation_id": "b1", "name": "Firefox", **subscription()}
    first = send(client, "POST", LIST, given)
    said = first.json()
    assert first.status_code == 201
    assert (said["status"], said["echo"], said["retry_after_seconds"]) == ("pending", True, [1, 5, 30])
    assert said["vapid_public_key"] == vapid.public_key()
    assert len(keys.unb64(said["vapid_public_key"])) == 65
    assert said["address_hint"] == f"…{given['address'][-6:]}"
    assert given["address"] not in first.content.decode()
    assert first.headers["Location"].endswith(f"/api/v1/devices/{said['id']}/")
    again = send(client, "POST", LIST, given)
    assert (again.status_code, again.json()["id"]) == (200, said["id"])
    assert PushDevice.objects.get().vapid_key_thumbprint == vapid.thumbprint()
    listed = client.get(LIST).json()
    assert [each["id"] for each in listed["results"]] == [said["id"]]
    assert (listed["vapid_public_key"], listed["retry_after_seconds"]) == (vapid.public_key(), [1, 5, 30])


def test_the_key_a_subscription_was_made_with_is_kept_by_its_thumbprint():
    older = keys.b64(b"\x04" + b"k" * 64)
    send(session(), "POST", LIST, body(transport="webpush", application_server_key=older, **subscription()))
    assert PushDevice.objects.get().vapid_key_thumbprint == keys.thumbprint(keys.unb64(older))


def test_the_timeline_says_why():
    anna = person()
    device = register(anna).device
    transitions.invalidated(device=device, reason="refused", now=timezone.now(), words="Not known any more.")
    said = session(anna).get(ONE.format(pk=device.pk)).json()
    assert [(line["before"], line["after"], line["cause"]) for line in said["timeline"]] == [
        ("", "pending", "registered"),
        ("pending", "invalid", "refused"),
    ]
    assert said["timeline"][1]["words"] == "Not known any more."
    assert (said["status"], said["status_reason"]) == ("invalid", "refused")


def test_refreshing_gives_the_installation_its_new_address():
    anna = person()
    old = register(anna).device
    said = send(session(anna), "PUT", ONE.format(pk=old.pk), {"address": token(), "app_version": "2.0"})
    old.refresh_from_db()
    assert (said.status_code, old.status_reason, old.superseded_by_id) == (201, "replaced", said.json()["id"])
    assert Installation.objects.get().app_version == "2.0"
    shown = session(anna).get(ONE.format(pk=old.pk)).json()
    assert shown["superseded_by"] == said.json()["id"]


def test_describing_wakes_a_stale_device():
    anna = person()
    device = register(anna).device
    PushDevice.objects.update(status="stale")
    said = send(session(anna), "PATCH", ONE.format(pk=device.pk), {"name": "New name"}).json()
    assert (said["status"], said["name"]) == ("active", "New name")
    assert send(session(anna), "PATCH", ONE.format(pk=device.pk), {"address": token()}).status_code == 400


@pytest.mark.parametrize(("query", "reason"), [("", "opted_out"), ("?reason=logged_out", "logged_out")])
def test_removing_is_unregistered_and_safe_to_repeat(query: str, reason: str):
    anna = person()
    device = register(anna).device
    for _ in range(2):
        assert send(session(anna), "DELETE", ONE.format(pk=device.pk) + query).status_code == 204
    device.refresh_from_db()
    assert (device.status, device.status_reason) == ("unregistered", reason)
    assert device.transitions.filter(after="unregistered").count() == 1
    refused = send(session(anna), "DELETE", ONE.format(pk=device.pk) + "?reason=staff")
    assert (refused.status_code, set(problem(refused)["errors"])) == (400, {"reason"})


def test_logging_out_ends_the_pushes_to_this_browser_and_to_no_other(settings: Settings):
    anna = person()
    client = session(anna)
    here = send(client, "POST", LIST, body(installation_id="this browser")).json()["id"]
    phone = register(anna, installation="phone").device
    client.post("/accounts/logout/")
    there = PushDevice.objects.get(pk=here)
    assert (there.status, there.status_reason) == ("unregistered", "logged_out")
    assert PushDevice.objects.get(pk=phone.pk).status == "pending"


def test_echoing_the_nonce_makes_it_active_and_again_is_no_error():
    anna = person()
    device = register(anna, Given(transport="webpush", **subscription()), now=timezone.now()).device
    path = VERIFY.format(pk=device.pk)
    assert problem(send(session(anna), "POST", path, {"nonce": "0" * 32}))["code"] == "nonce_wrong"
    for _ in range(2):
        said = send(session(anna), "POST", path, {"nonce": verification.nonce(device)})
        assert (said.status_code, said.json()["status"]) == (200, "active")


def test_a_claim_does_not_tell_whose_the_address_is():
    anna, bert, given = person(), person(), subscription()
    holder = register(anna, Given(transport="webpush", **given)).device
    said = send(session(bert), "POST", LIST, {"transport": "webpush", "installation_id": "x", **given}).json()
    claim = PushDevice.objects.get(pk=said["id"])
    verification.echoed(device=claim, given=verification.nonce(claim), now=timezone.now())
    for user, text in ((anna, bert.username), (bert, anna.username)):
        shown = session(user).get(LIST).content.decode()
        assert text not in shown
        assert f'"superseded_by":{claim.pk}' not in shown
    assert session(bert).get(ONE.format(pk=holder.pk)).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"transport": "pigeon"}, "transport"),
        ({"transport": ["fcm"]}, "transport"),
        ({"address": "not a token!!"}, "address"),
        ({"address": 5}, "address"),
        ({"address": ""}, "address"),
        ({"address": "x" * 5000}, "address"),
        ({"transport": "apns", "address": "ab"}, "address"),
        ({"transport": "webpush", **subscription("http://169.254.169.254/latest/")}, "address"),
        ({"transport": "webpush", **subscription("https://localhost/x")}, "address"),
        ({"transport": "webpush", **subscription(), "p256dh": "AAAA"}, "p256dh"),
        ({"transport": "webpush", **subscription(), "auth": "AAAA"}, "auth"),
        ({"environment": "moon"}, "environment"),
        ({"environment": "sandbox"}, "environment"),
        ({"installation_id": ""}, "installation_id"),
        ({"installation_id": "a\nb"}, "installation_id"),
        ({"installation_id": "x" * 101}, "installation_id"),
        ({"name": "x" * 101}, "name"),
        ({"name": {"a": 1}}, "name"),
        ({"app": "nobody's"}, "app"),
        ({"application_server_key": "ü"}, "application_server_key"),
        ({"expiration_time": "tomorrow"}, "expiration_time"),
        ({"user": 1}, "user"),
        ({"status": "active"}, "status"),
    ],
)
def test_what_cannot_be_a_registration_is_a_clear_400(change: dict[str, Any], field: str):
    response = send(session(), "POST", LIST, {**body(), **change})
    assert response.status_code == 400
    assert set(problem(response)["errors"]) == {field}
    assert not PushDevice.objects.exists()


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "invalid"),
        (b"[]", 400, "invalid"),
        (b"{", 400, "malformed"),
        (b'{"name": "\\u0000"}', 400, "malformed"),
        (b'{"name": "\\ud800"}', 400, "malformed"),
        (b'{"name": "' + b"x" * 20_000 + b'"}', 413, "too_large"),
    ],
)
def test_hostile_bodies(raw: bytes, status: int, code: str):
    response = session().generic("POST", LIST, raw, content_type="application/json")
    assert (response.status_code, problem(response)["code"]) == (status, code)
    assert session().generic("POST", LIST, b"a=b", content_type="application/x-www-form-urlencoded").status_code == 415


def test_ids_beyond_a_bigint_are_just_not_there():
    assert session().get(f"/api/v1/devices/{'9' * 18}/").status_code == 404
    assert session().get(f"/api/v1/devices/{'9' * 30}/").status_code == 404


def test_a_loop_of_registrations_is_slowed_down(settings: Settings):
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "push.register": (2, 3600)}
    client, anna = session(), person()
    assert [send(client, "POST", LIST, body()).status_code for _ in range(3)] == [201, 201, 429]
    response = send(client, "POST", LIST, body())
    assert problem(response)["code"] == "throttled"
    assert int(response.headers["Retry-After"]) > 3000
    assert send(session(anna), "POST", LIST, body()).status_code == 201


def test_too_many_installations(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registration, "INSTALLATIONS_MAX", 1)
    client = session()
    assert send(client, "POST", LIST, body()).status_code == 201
    response = send(client, "POST", LIST, body(installation_id="other"))
    assert (response.status_code, problem(response)["code"]) == (409, "too_many_installations")


def test_refreshing_by_token_needs_no_session_and_nothing_but_the_token():
    anna = person()
    old = register(anna, Given(transport="webpush", **subscription())).device
    client = Client(enforce_csrf_checks=True)
    held = refreshing.token(old)
    said = send(client, "POST", REFRESH, {"token": held, **subscription()})
    old.refresh_from_db()
    assert (said.status_code, old.status_reason) == (201, "replaced")
    assert PushDevice.objects.get(pk=said.json()["id"]).installation_id == old.installation_id
    refused = send(client, "POST", REFRESH, {"token": held[:-1] + "_", **subscription()})
    assert (refused.status_code, problem(refused)["code"]) == (403, "refresh_token_invalid")
    assert send(client, "POST", REFRESH, {"token": held, **subscription("https://10.0.0.1/")}).status_code == 400
    assert send(client, "POST", REFRESH, subscription()).status_code == 400
    assert client.get(REFRESH).status_code == 405


def test_the_schema_describes_it():
    schema = Client().get("/api/schema/").json()
    assert {path for path in schema["paths"] if "devices" in path} == {
        "/api/v1/devices/",
        "/api/v1/devices/{id}/",
        "/api/v1/devices/{id}/verify/",
    }
