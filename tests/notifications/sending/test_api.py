"""`/api/v1/pushes/`: who may, what is taken, what is refused, and what is told."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from notifications import push
from notifications.models import Preference, PushDelivery
from tests.notifications.sending.world import Service, device, drain, many, person
from tests.queues.desk.api_caller import Program, problem

pytestmark = pytest.mark.django_db

PUSHES = "/api/v1/pushes/"


def program(*permissions: str) -> Program:
    user = person()
    found = Permission.objects.filter(content_type__app_label="notifications", codename__in=permissions)
    assert found.count() == len(permissions)
    user.user_permissions.set(found)
    return Program(user=user)


def body(**fields: Any) -> dict[str, Any]:
    return {"users": [1], "title": "Doors open", **fields}


def test_a_push_by_id_and_name_and_what_became_of_it(service: Service):
    anna, ben, carl = person("anna"), person("ben"), person("carl")
    device(anna), device(anna, transport="webpush"), device(ben)
    Preference.objects.create(user=ben, category="news", wanted=False)
    caller = program("add_pushdelivery")
    wish = body(users=[anna.pk, "ben", carl.pk, "nobody", 2**31 - 1, "anna"], category="news", data={"seat": "7"})
    answer = caller.post(PUSHES, wish, key="news-7")
    assert answer.status_code == 202
    told = answer.json()
    assert {name: value for name, value in told.items() if name != "push_id"} == {
        "deliveries": 2,
        "deferred": 0,
        "suppressed": {"preference": 1},
        "no_device": 1,
        "unknown_users": 2,
    }
    assert answer["Location"].endswith(f"{PUSHES}{told['push_id']}/")
    again = caller.post(PUSHES, wish, key="news-7")
    assert (again.status_code, again["Idempotent-Replayed"], again.json()) == (202, "true", told)
    assert PushDelivery.objects.count() == 3
    assert problem(caller.post(PUSHES, wish | {"title": "Other"}, key="news-7"))["code"] == "idempotency_key_reused"

    PushDelivery.objects.filter(device__transport="webpush").update(delivered_at=timezone.now())
    state = caller.get(f"{PUSHES}{told['push_id']}/").json()
    assert state["counts"] == {"queued": 1, "delivered": 1, "suppressed": 1}
    assert [(each["user"], each["state"], each["reason"]) for each in state["deliveries"]] == [
        (anna.pk, "queued", ""),
        (anna.pk, "delivered", ""),
        (ben.pk, "suppressed", "preference"),
    ]
    assert state["next"] is None


def test_pages_of_deliveries_and_of_one_state():
    made = push.notify(users=[each.installation.user_id for each in many(205)], title="Doors open", key="api:1:x")
    PushDelivery.objects.filter(pk__in=PushDelivery.objects.values("pk")[:3]).update(opened_at=timezone.now())
    reader = program("view_pushdelivery")
    seen: list[int] = []
    address: str | None = f"{PUSHES}{made.push_id}/"
    while address:
        page = reader.get(address).json()
        assert page["counts"] == {"queued": 202, "opened": 3}, "of all, on every page"
        seen += [each["id"] for each in page["deliveries"]]
        address = page["next"]
    assert (len(seen), seen) == (205, sorted(seen))
    opened = reader.get(f"{PUSHES}{made.push_id}/", {"state": "opened"}).json()
    assert len(opened["deliveries"]) == 3


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"users": []}, "users"),
        ({"users": "anna"}, "users"),
        ({"users": [True]}, "users.0"),
        ({"users": [1.5]}, "users.0"),
        ({"users": [2**80]}, "users.0"),
        ({"users": [None]}, "users.0"),
        ({"users": list(range(1, 1002))}, "users"),
        ({"title": ""}, "title"),
        ({"title": 7}, "title"),
        ({"title": None}, "title"),
        ({"body": "x" * 3_900}, "body"),
        ({"body": "\N{PILE OF POO}" * 1_000}, "body"),
        ({"body": "x" * 4_001}, "body"),
        ({"data": {"k": "x" * 3_800}}, "data"),
        ({"data": {"k": 7}}, "data.k"),
        ({"data": {f"k{n}": "" for n in range(51)}}, "data"),
        ({"data": []}, "data"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": "60"}, "ttl"),
        ({"ttl": 28 * 86_400 + 1}, "ttl"),
        ({"urgent": "yes"}, "urgent"),
        ({"send_at": "tomorrow"}, "send_at"),
        ({"category": "a\nb"}, "category"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_pushed_is_told_by_field(fields: dict[str, Any], where: str):
    answer = program("add_pushdelivery").post(PUSHES, body(**{"users": [device().installation.user_id], **fields}))
    told = problem(answer)
    assert (answer.status_code, told["code"]) == (400, "invalid")
    assert where in told["errors"], told["errors"]
    assert not PushDelivery.objects.exists()


def test_bodies_that_are_no_json_object():
    caller = program("add_pushdelivery")
    for raw in (b"", b"[]", b"{", b'"x"', b'{"title": "\\ud800"}', b'{"title": "\\u0000"}'):
        assert caller.post(PUSHES, None, raw=raw).status_code == 400
    assert problem(caller.post(PUSHES, body(), key="with space"))["code"] == "idempotency_key_invalid"
    assert caller.client.post(PUSHES, "a=b", content_type="text/plain").status_code == 415


def test_who_may():
    one = device()
    made = program("add_pushdelivery").post(PUSHES, body(users=[one.installation.user_id])).json()
    address = f"{PUSHES}{made['push_id']}/"
    expected = {
        Client(): (401, 401),
        program().client: (403, 403),
        program("register_device").client: (403, 403),
        program("view_pushdelivery").client: (403, 200),
        program("add_pushdelivery").client: (202, 404),  # of another program: it is not there
        Program(user=User.objects.create_superuser("left", is_active=False)).client: (401, 401),
    }
    for client, (posts, reads) in expected.items():
        answer = client.post(PUSHES, body(users=[one.installation.user_id]), content_type="application/json")
        assert answer.status_code == posts
        assert client.get(address).status_code == reads
    superuser = Client()
    superuser.force_login(User.objects.create_superuser("root"))
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
        assert superuser.generic(method, PUSHES).status_code == 405
        assert superuser.generic(method, address).status_code == 405
    assert superuser.generic("GET", PUSHES).status_code == 405
    assert "no-store" in superuser.get(address)["Cache-Control"]
    assert superuser.get(f"{PUSHES}{uuid.uuid4()}/").status_code == 404
    assert superuser.get(f"{PUSHES}1/").status_code == 404
    for query in ({"after": "x"}, {"after": "9" * 30}, {"state": "lost"}):
        assert superuser.get(address, query).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_the_keys_of_two_programs_do_not_meet(service: Service):
    one = device()
    first, second = program("add_pushdelivery"), program("add_pushdelivery")
    ids = {
        each.post(PUSHES, body(users=[one.installation.user_id]), key="k").json()["push_id"] for each in (first, second)
    }
    assert len(ids) == 2
    assert drain() == {"ack": 2}
