"""In a real browser: staff find a problem and refund it; orders on a phone and a wide screen, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from payments.models import Order, Problem
from queues.desk.ledger import LedgerEntry
from tests.accessible import COLOURS, violations
from tests.fake_stripe import FakeStripe
from tests.payments.conftest import Buy, tell
from tests.queues.desk.people import person

pytestmark = [pytest.mark.browser, pytest.mark.once]


def wider_than_screen(page: Any) -> bool:
    """Whether the page scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def test_an_operator_refunds_a_part_of_an_order(page: Any, stripe: FakeStripe, buy: Buy, log_in: Callable[[Any], Any]):
    order = buy("ticket", 2)
    stripe.act("pay", order.session_id)
    tell(stripe.events())
    page.set_viewport_size({"width": 1600, "height": 900})
    log_in(person("operator")).goto("/admin/")
    page.get_by_role("link", name="Orders").click()
    page.get_by_role("link", name=order.reference).click()
    page.get_by_role("link", name="Refund …").click()
    page.get_by_role("heading", name="50.00 EUR will go back").wait_for()
    page.get_by_label("How much (EUR)").fill("12.50")
    page.get_by_role("button", name="Preview this amount").click()
    page.get_by_role("heading", name="12.50 EUR will go back").wait_for()
    page.get_by_label("Reason").fill("one seat was broken")
    page.get_by_role("button", name="Refund 12.50 EUR").click()
    page.get_by_text("12.50 EUR goes back.").wait_for()
    page.get_by_text("Partially refunded").first.wait_for()
    assert LedgerEntry.objects.get().reason == "one seat was broken"


def test_a_problem_is_one_click_from_its_refund(page: Any, stripe: FakeStripe, buy: Buy, log_in: Callable[[Any], Any]):
    order = buy()
    Order.objects.filter(pk=order.pk).update(status="expired", expired_at=timezone.now())
    stripe.act("pay", order.session_id)
    tell(stripe.events())
    page.set_viewport_size({"width": 1600, "height": 900})
    log_in(person("operator")).goto("/admin/")
    page.get_by_role("link", name="Problems").click()
    page.get_by_role("link", name="Refund payment:").click()
    page.get_by_label("Reason").fill("too late")
    page.get_by_role("button", name="Refund 25.00 EUR").click()
    page.get_by_text("25.00 EUR goes back.").wait_for()
    assert Problem.objects.get().resolved_at


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_overflows(
    page: Any, stripe: FakeStripe, buy: Buy, log_in: Callable[[Any], Any], scheme: str, width: int
):
    order = buy("ticket", 2)
    intent = stripe.act("pay", order.session_id)["payment_intent"]
    stripe.act("create_refund", {"payment_intent": intent, "amount": 500})
    stripe.act("decide", stripe.act("dispute", intent)["id"], won=True)
    tell(stripe.events())
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    log_in(person("operator"))
    for address in (
        "/admin/payments/order/",
        f"/admin/payments/order/{order.pk}/change/",
        f"/admin/payments/order/{order.pk}/refund/",
        "/admin/payments/problem/",
        "/admin/payments/dispute/",
    ):
        page.goto(address)
        assert not wider_than_screen(page), address


def test_everybody_can_use_the_pages(page: Any, stripe: FakeStripe, buy: Buy, log_in: Callable[[Any], Any]):
    order = buy("ticket", 2)
    intent = stripe.act("pay", order.session_id)["payment_intent"]
    stripe.act("create_refund", {"payment_intent": intent, "amount": 500})
    late = buy()
    Order.objects.filter(pk=late.pk).update(status="expired", expired_at=timezone.now())
    stripe.act("pay", late.session_id)
    tell(stripe.events())
    log_in(person("administrator"))
    for address, width in (
        ("/admin/", 1440),
        ("/admin/payments/order/", 1440),
        (f"/admin/payments/order/{order.pk}/change/", 360),
        (f"/admin/payments/order/{order.pk}/refund/", 1440),
        (f"/admin/payments/problem/{Problem.objects.get().pk}/resolve/", 360),
        ("/admin/payments/problem/", 360),
        ("/admin/payments/product/add/", 1440),
    ):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme="light")
        page.goto(address)
        assert violations(page) == [], address
        page.emulate_media(color_scheme="dark")
        assert violations(page, rules=COLOURS) == [], address
