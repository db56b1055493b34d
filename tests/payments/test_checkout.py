"""`POST /api/v1/checkout/`: one session for one key, at our prices, within the limits, whatever Stripe does."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from pytest_django import Settings

from config import environment
from payments import api
from payments.models import Order, Product
from payments.states import Status
from queues.engine.limiter import RateCounter
from tests.fake_stripe import FakeStripe
from tests.queues.desk.api_caller import Program, problem, user_with
from tests.queues.engine.threads import together

pytestmark = pytest.mark.django_db

PATH = "/api/v1/checkout/"
WISH: dict[str, Any] = {"items": [{"sku": "ticket", "quantity": 2}, {"sku": "poster", "quantity": 1}]}


@pytest.fixture(autouse=True)
def _ready(stripe: FakeStripe, products: dict[str, Product]) -> None:
    """Every test here has a Stripe and a catalogue."""


@pytest.fixture
def caller(customer: User) -> Program:
    return Program(user=customer)


def another(name: str) -> Program:
    user = User.objects.create_user(name, f"{name}@example.com")
    user.groups.add(Group.objects.get(name="Customer"))
    return Program(user=user)


def sessions(stripe: FakeStripe) -> list[dict[str, Any]]:
    return stripe.objects("checkout.session")


class TestWhatItMakes:
    def test_an_order_at_our_prices_and_a_session(self, caller: Program, stripe: FakeStripe):
        response = caller.post(PATH, WISH)
        assert response.status_code == 201
        body = response.json()
        order = Order.objects.get()
        assert (order.amount, order.currency, order.status, order.user) == (5700, "eur", "pending", caller.user)
        (session,) = sessions(stripe)
        assert (body["order"], body["session_id"], body["url"]) == (order.reference, session["id"], session["url"])
        assert (body["amount"], body["currency"]) == (5700, "eur")
        assert (session["amount_total"], session["client_reference_id"]) == (5700, order.reference)
        assert session["customer_email"] == "carla@example.com"
        assert session["success_url"].startswith("http://localhost:8000/")
        assert "no-store" in response.headers["Cache-Control"]

    def test_zero_decimal_currencies_are_asked_for_in_whole_units(self, caller: Program, stripe: FakeStripe):
        caller.post(PATH, {"items": [{"sku": "sake", "quantity": 3}]})
        assert (sessions(stripe)[0]["amount_total"], sessions(stripe)[0]["currency"]) == (3600, "jpy")

    def test_where_the_customer_returns_to_is_a_setting(self, caller: Program, stripe: FakeStripe, settings: Settings):
        settings.CHECKOUT_RETURN_URL = "https://shop.example/thanks"
        caller.post(PATH, WISH)
        assert sessions(stripe)[0]["success_url"].startswith("https://shop.example/thanks?order=R-")

    @pytest.mark.parametrize(
        ("wish", "field"),
        [
            ({}, "items"),
            ({"items": []}, "items"),
            ({"items": "ticket"}, "items"),
            ({"items": [{"sku": "ticket", "quantity": 0}]}, "items.0.quantity"),
            ({"items": [{"sku": "ticket", "quantity": -1}]}, "items.0.quantity"),
            ({"items": [{"sku": "ticket", "quantity": 1.5}]}, "items.0.quantity"),
            ({"items": [{"sku": "ticket", "quantity": "2"}]}, "items.0.quantity"),
            ({"items": [{"sku": "ticket", "quantity": True}]}, "items.0.quantity"),
            ({"items": [{"sku": "ticket", "quantity": 21}]}, "items.0.quantity"),
            ({"items": [{"sku": "poster", "quantity": 4}]}, "items.0.quantity"),
            ({"items": [{"sku": "nothing", "quantity": 1}]}, "items.0.sku"),
            ({"items": [{"sku": "gone", "quantity": 1}]}, "items.0.sku"),
            ({"items": [{"sku": "ticket", "quantity": 1}, {"sku": "ticket", "quantity": 1}]}, "items.1.sku"),
            ({"items": [{"sku": "ticket", "quantity": 1}, {"sku": "sake", "quantity": 1}]}, "items"),
            ({"items": [{"sku": "ticket", "quantity": 1, "unit_amount": 1}]}, "items.0.unit_amount"),
            ({"items": [{"sku": "ticket", "quantity": 1}], "user_id": 1}, "user_id"),
            ({"items": [{"sku": "ticket", "quantity": 1}], "success_url": "https://evil.example"}, "success_url"),
            ({"items": [{"sku": "ticket", "quantity": 1}] * 21}, "items"),
        ],
    )
    def test_what_is_refused(self, caller: Program, stripe: FakeStripe, wish: Any, field: str):
        response = caller.post(PATH, wish)
        assert response.status_code == 400
        assert field in problem(response)["errors"]
        assert not Order.objects.exists()
        assert not stripe.requests()

    def test_more_than_one_payment_can_hold(self, caller: Program):
        Product.objects.filter(sku="ticket").update(unit_amount=99_999_999)
        assert problem(caller.post(PATH, WISH))["errors"]["items"]

    def test_a_user_without_a_good_address_still_buys(self, stripe: FakeStripe, customer: User, caller: Program):
        User.objects.filter(pk=customer.pk).update(email="nonsense")
        assert caller.post(PATH, WISH).status_code == 201
        assert sessions(stripe)[0]["customer_email"] is None


class TestKeys:
    def test_the_same_key_gives_the_same_session_for_ever(self, caller: Program, stripe: FakeStripe):
        first, second = (caller.post(PATH, WISH, key="k1") for _ in range(2))
        assert first.json() == second.json()
        assert "Idempotent-Replayed" not in first.headers
        assert second.headers["Idempotent-Replayed"] == "true"
        assert len(sessions(stripe)) == 1

    def test_prices_that_changed_meanwhile_change_nothing(self, caller: Program):
        first = caller.post(PATH, WISH, key="k1").json()
        Product.objects.update(unit_amount=1, active=False)
        assert caller.post(PATH, WISH, key="k1").json() == first

    def test_other_wishes_under_the_same_key(self, caller: Program):
        caller.post(PATH, WISH, key="k1")
        response = caller.post(PATH, {"items": [{"sku": "ticket", "quantity": 3}]}, key="k1")
        assert (response.status_code, problem(response)["code"]) == (422, "idempotency_key_reused")

    def test_keys_of_different_users_do_not_meet(self, caller: Program, stripe: FakeStripe):
        mine, theirs = caller.post(PATH, WISH, key="k1").json(), another("dora").post(PATH, WISH, key="k1").json()
        assert mine["order"] != theirs["order"]
        assert len(sessions(stripe)) == 2

    def test_without_a_key_every_request_is_a_new_order(self, caller: Program):
        assert caller.post(PATH, WISH).json()["order"] != caller.post(PATH, WISH).json()["order"]

    @pytest.mark.parametrize("key", ["", "a b", "x" * 201, "~x", "ü"])
    def test_what_is_no_key(self, caller: Program, key: str):
        response = caller.post(PATH, WISH, key=key)
        assert (response.status_code, problem(response)["code"]) == (400, "idempotency_key_invalid")

    def test_an_order_that_ended_without_a_session(self, caller: Program, stripe: FakeStripe):
        stripe.fault("POST /v1/checkout/sessions", "refuse")
        assert caller.post(PATH, WISH, key="k1").status_code == 504
        Order.objects.update(status=Status.EXPIRED)
        response = caller.post(PATH, WISH, key="k1")
        assert (response.status_code, problem(response)["code"]) == (409, "checkout_over")


@pytest.mark.django_db(transaction=True)
def test_a_double_click_makes_one_session(caller: Program, stripe: FakeStripe):
    def click() -> Any:
        return Program(user=caller.user).post(PATH, WISH, key="k1")

    responses = together(*[click] * 5)
    assert [each.status_code for each in responses] == [201] * 5
    assert len({each.json()["session_id"] for each in responses}) == 1
    assert len(stripe.requests("POST /v1/checkout/sessions")) == 1
    assert Order.objects.count() == 1


class TestLimits:
    def test_the_eleventh_in_an_hour(self, caller: Program, stripe: FakeStripe):
        accepted = [caller.post(PATH, WISH) for _ in range(10)]
        assert [each.status_code for each in accepted] == [201] * 10
        assert [each.headers["RateLimit-Remaining"] for each in accepted] == [str(left) for left in range(9, -1, -1)]
        assert {each.headers["RateLimit-Limit"] for each in accepted} == {"10"}
        assert all(3500 < int(each.headers["RateLimit-Reset"]) <= 3660 for each in accepted)
        response = caller.post(PATH, WISH)
        assert {each.headers["RateLimit-Policy"] for each in [*accepted, response]} == {"10;w=3600, 20;w=3600"}
        assert (response.status_code, problem(response)["code"]) == (429, "throttled")
        assert 3500 < int(response.headers["Retry-After"]) <= 3660
        assert response.headers["RateLimit-Limit"] == "10"
        assert response.headers["RateLimit-Remaining"] == "0"
        assert response.headers["RateLimit-Reset"] == response.headers["Retry-After"]
        assert len(sessions(stripe)) == 10
        assert Order.objects.count() == 10

    def test_the_twenty_first_from_one_address_whatever_it_claims(self, caller: Program):
        callers = [caller, another("dora"), another("emil")]
        for number in range(20):
            who = callers[number % 3]
            response = who.client.post(
                PATH, WISH, content_type="application/json", headers={"X-Forwarded-For": f"203.0.113.{number}"}
            )
            assert response.status_code == 201, number
        assert (response.headers["RateLimit-Limit"], response.headers["RateLimit-Remaining"]) == ("20", "0")
        response = callers[0].client.post(
            PATH, WISH, content_type="application/json", headers={"X-Forwarded-For": "203.0.113.99"}
        )
        assert response.status_code == 429
        assert response.headers["RateLimit-Limit"] == "20"
        assert RateCounter.objects.filter(key="checkout.address:127.0.0.1").exists()

    def test_our_own_proxys_word_is_believed(self, caller: Program, settings: Settings):
        settings.TRUSTED_PROXIES = environment.networks({"X": "127.0.0.1"}, "X")
        headers = {"X-Forwarded-For": "6.6.6.6, 203.0.113.7"}
        caller.client.post(PATH, WISH, content_type="application/json", headers=headers)
        assert list(RateCounter.objects.filter(key__startswith="checkout.address").values_list("key", flat=True)) == [
            "checkout.address:203.0.113.7"
        ]

    @pytest.mark.parametrize(
        ("address", "counts_as"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
            ("", "unknown"),
            ("unix", "unknown"),
        ],
    )
    def test_what_an_address_counts_as(self, address: str, counts_as: str):
        assert api.network(address) == counts_as


class TestWho:
    def test_only_who_may(self, customer: User):
        assert Client().post(PATH, WISH, content_type="application/json").status_code == 401
        assert Program().post(PATH, WISH).status_code == 403
        other = Program(user=user_with("add_emailmessage"))
        assert other.post(PATH, WISH).status_code == 403
        assert not Order.objects.exists()

    @pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
    def test_only_post(self, caller: Program, method: str):
        response = getattr(caller.client, method)(PATH)
        assert (response.status_code, problem(response)["code"]) == (405, "method_not_allowed")

    def test_a_session_needs_the_csrf_token(self, customer: User):
        client = Client(enforce_csrf_checks=True)
        client.force_login(customer)
        assert client.post(PATH, WISH, content_type="application/json").status_code == 403
        client = Client()
        client.force_login(customer)
        assert client.post(PATH, WISH, content_type="application/json").status_code == 201

    def test_the_body_is_json_of_a_bounded_size(self, caller: Program):
        assert caller.post(PATH, None, raw=b"{").status_code == 400
        assert caller.post(PATH, None, raw=b"[]").status_code == 400
        assert caller.post(PATH, None, raw=b'"' + b"x" * 20_000_001 + b'"').status_code == 413
        assert caller.client.post(PATH, "x", content_type="text/plain").status_code == 415
