"""A checkout while Stripe is slow, silent, broken or gone: one session for one key all the same."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from pytest_django import Settings

from payments.models import Product, StripeRequest
from queues.engine.breaker import Breaker
from tests.fake_stripe import FakeStripe
from tests.queues.desk.api_caller import Program, problem

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


@pytest.mark.usefixtures("impatient")
class TestStripeInTrouble:
    def test_no_answer_in_time(self, caller: Program, stripe: FakeStripe):
        stripe.fault("POST /v1/checkout/sessions", "hang")
        response = caller.post(PATH, WISH, key="k1")
        assert (response.status_code, problem(response)["code"]) == (504, "stripe_timeout")
        assert "card has not been charged" in problem(response)["detail"]
        assert "rying again is safe" in problem(response)["detail"]
        assert int(response.headers["Retry-After"]) > 0
        again = caller.post(PATH, WISH, key="k1")
        assert again.status_code == 201
        (session,) = sessions(stripe)
        assert again.json()["session_id"] == session["id"]
        keys = {each["key"] for each in stripe.requests("POST /v1/checkout/sessions")}
        assert len(keys) == 1

    def test_the_answer_is_lost(self, caller: Program, stripe: FakeStripe):
        stripe.fault("POST /v1/checkout/sessions", "cut")
        assert caller.post(PATH, WISH, key="k1").status_code == 504
        assert caller.post(PATH, WISH, key="k1").status_code == 201
        assert len(sessions(stripe)) == 1

    def test_an_error_that_stripe_remembers_is_got_over(self, caller: Program, stripe: FakeStripe):
        stripe.fault("POST /v1/checkout/sessions", "500")
        response = caller.post(PATH, WISH, key="k1")
        assert (response.status_code, problem(response)["code"]) == (503, "stripe_unavailable")
        assert caller.post(PATH, WISH, key="k1").status_code == 201
        assert StripeRequest.objects.get().attempt == 2
        assert len(sessions(stripe)) == 1

    def test_an_error_though_it_was_done_makes_no_second_session(self, caller: Program, stripe: FakeStripe):
        stripe.fault("POST /v1/checkout/sessions", "broken")
        assert caller.post(PATH, WISH, key="k1").status_code == 503
        response = caller.post(PATH, WISH, key="k1")
        assert response.status_code == 201
        (session,) = sessions(stripe)
        assert response.json()["session_id"] == session["id"]
        assert len(stripe.requests("POST /v1/checkout/sessions")) == 1

    @pytest.mark.parametrize("status", ["502", "503", "504"])
    def test_an_error_from_before_the_work_keeps_the_key(self, caller: Program, stripe: FakeStripe, status: str):
        stripe.fault("POST /v1/checkout/sessions", status)
        assert caller.post(PATH, WISH, key="k1").status_code == 503
        assert caller.post(PATH, WISH, key="k1").status_code == 201
        assert len({each["key"] for each in stripe.requests("POST /v1/checkout/sessions")}) == 1

    def test_too_many_requests(self, caller: Program, stripe: FakeStripe):
        stripe.fault("POST /v1/checkout/sessions", "429")
        response = caller.post(PATH, WISH, key="k1")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "7")
        assert caller.post(PATH, WISH, key="k1").status_code == 201

    def test_refused(self, caller: Program, stripe: FakeStripe):
        stripe.fault("POST /v1/checkout/sessions", "400")
        response = caller.post(PATH, WISH, key="k1")
        assert (response.status_code, problem(response)["code"]) == (502, "stripe_refused")
        assert not Breaker.objects.exists(), "a refusal is no outage"

    def test_no_key_of_stripes(self, caller: Program, settings: Settings):
        settings.STRIPE_API_KEY = ""
        response = caller.post(PATH, WISH, key="k1")
        assert (response.status_code, problem(response)["code"]) == (503, "stripe_unavailable")

    def test_an_outage_is_left_alone_and_costs_no_allowance(
        self, caller: Program, stripe: FakeStripe, settings: Settings
    ):
        stripe.fault("", "503", times=5)
        for _ in range(5):
            assert caller.post(PATH, WISH, key="k1").status_code == 503
        asked = len(stripe.requests())
        for _ in range(20):
            response = caller.post(PATH, WISH, key="k1")
            assert (response.status_code, problem(response)["code"]) == (503, "stripe_unavailable")
            assert 0 < int(response.headers["Retry-After"]) <= 60
        assert len(stripe.requests()) == asked
        Breaker.objects.all().delete()
        assert caller.post(PATH, WISH, key="k1").status_code == 201
