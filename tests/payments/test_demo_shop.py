"""The demo's shop in a real browser: buy, pay, refund and dispute without any key of Stripe's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from config.demo import shop
from config.demo.stripe.account import Account, ApiError
from config.up.plan import FAKE_STRIPE_KEY
from payments.models import Order, Refund
from tests.accessible import violations
from tests.payments.delivery import drain

pytestmark = [pytest.mark.once]


@pytest.fixture
def demo(live_server: Any, settings: Settings, tmp_path: Path) -> User:
    """Everything as `make up` sets it; the customer."""
    settings.VAR_DIR, settings.ROOT_URLCONF = tmp_path, "tests.config.demo_urls"
    settings.BASE_URL, settings.PORT = live_server.url, urlsplit(live_server.url).port
    settings.STRIPE_API_KEY, settings.STRIPE_API_BASE = FAKE_STRIPE_KEY, f"{live_server.url}/demo/stripe"
    settings.CHECKOUT_RETURN_URL = f"{live_server.url}/demo/shop/"
    user = User.objects.create_user("customer", "customer@example.com", "x")
    shop.stock()
    return user


@pytest.mark.browser
def test_buy_pay_refund_dispute(page: Any, demo: User, log_in: Callable[[Any], Any]):
    page.set_viewport_size({"width": 360, "height": 740})
    log_in(demo).goto("/demo/shop/")
    assert violations(page) == []
    page.get_by_role("listitem").filter(has_text="Night of the Strings").get_by_role("button", name="Buy").click()
    page.get_by_role("heading", name="Pay 25.00 EUR").wait_for()
    page.emulate_media(color_scheme="dark")
    assert violations(page) == []
    page.get_by_role("button", name="Try a card that is declined").click()
    page.get_by_role("button", name="Pay by card").click()
    page.get_by_text("Thank you.").wait_for()
    drain()
    order = Order.objects.get()
    page.reload()
    page.get_by_text(f"{order.reference} · Paid").wait_for()

    page.goto("/demo/stripe/")
    page.get_by_role("button", name="Refund a part at Stripe").click()
    page.get_by_text("refund.created (200)").wait_for()
    drain()
    order.refresh_from_db()
    assert (order.status, order.amount_refunded) == ("partially_refunded", 833)
    page.get_by_role("button", name="Customer disputes it").click()
    page.get_by_text("charge.dispute.created (200)").wait_for()
    drain()
    order.refresh_from_db()
    assert order.status == "disputed"
    page.get_by_role("button", name="Bank decides for us").click()
    page.get_by_text("charge.dispute.closed (200)").wait_for()
    page.get_by_role("button", name="Send the last twenty again").click()
    page.get_by_text("nothing may change by it").wait_for()
    assert violations(page) == []
    drain()
    order.refresh_from_db()
    assert (order.status, order.amount_refunded, Refund.objects.count()) == ("partially_refunded", 833, 1)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.django_db(transaction=True)
def test_the_fake_opens_to_its_own_key_only(demo: User):
    client = Client()
    assert client.get("/demo/stripe/v1/refunds").status_code == 401
    assert client.get("/demo/stripe/v1/refunds", headers={"Authorization": "Bearer sk_live_1"}).status_code == 401
    assert client.get("/demo/stripe/").status_code == 302
    assert client.post("/demo/stripe/act/", {"act": "pay:x"}).status_code == 302
    client.force_login(demo)
    assert client.get("/demo/stripe/").status_code == 200
    assert client.get("/demo/stripe/pay/cs_nothing/").status_code == 404
    assert client.post("/demo/stripe/act/", {"act": "__init__:x"}).status_code == 404
    assert client.post("/demo/stripe/act/", {"act": "pay:nothing"}, follow=True).status_code == 200


def test_the_fakes_lists_are_paged_both_ways_as_stripes_are():
    account = Account(clock=lambda: 1_790_000_000.0)
    account.events = [{"id": f"evt_{n}", "object": "event", "created": 1_790_000_000 + n} for n in range(7)]

    def listed(**given: Any) -> tuple[list[str], bool]:
        found = account.listed("event", {"limit": "3", **given}, ())
        return [each["id"] for each in found["data"]], found["has_more"]

    assert listed() == (["evt_6", "evt_5", "evt_4"], True)
    assert listed(starting_after="evt_3") == (["evt_2", "evt_1", "evt_0"], False)
    assert listed(ending_before="evt_1") == (["evt_4", "evt_3", "evt_2"], True)
    assert listed(ending_before="evt_4") == (["evt_6", "evt_5"], False)
    for name in ("starting_after", "ending_before"):
        with pytest.raises(ApiError) as refused:
            listed(**{name: "evt_gone"})
        assert (refused.value.status, refused.value.body["error"]["param"]) == (400, name)


def test_only_in_the_demo(db: None):
    for address in ("/demo/shop/", "/demo/stripe/", "/demo/stripe/v1/refunds"):
        assert Client().get(address).status_code == 404
