"""What staff do at the money side's pages: refund with a preview, decide about problems, change prices."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.urls import reverse

from payments.models import Order, Problem, Product
from queues.desk.ledger import LedgerEntry
from tests.fake_stripe import FakeStripe
from tests.payments.conftest import tell
from tests.queues.desk.people import client_of

pytestmark = pytest.mark.django_db


class TestRefunding:
    def address(self, order: Order) -> str:
        return reverse("admin:payments_order_refund", args=[order.pk])

    def test_the_preview_says_what_will_happen(self, order: Order):
        page = client_of("operator").get(self.address(order), {"amount": "12.50"}).content.decode()
        assert "12.50 EUR</span> will go back" in page
        assert "37.50 EUR" in page
        assert "carla@example.com" in page

    @pytest.mark.parametrize("amount", ["50.01", "0", "-1", "x", "1.234", "1e999999999"])
    def test_amounts_that_are_refused(self, order: Order, amount: str):
        response = client_of("operator").get(self.address(order), {"amount": amount})
        assert response.status_code == 400
        assert "desk-error" in response.content.decode()
        assert 'name="sealed"' not in response.content.decode()

    def test_pressed_twice_it_is_one_refund(self, order: Order, stripe: FakeStripe):
        client = client_of("operator")
        sealed = client.get(self.address(order), {"amount": "12.50"}).context["sealed"]
        for _ in range(2):
            response = client.post(self.address(order), {"sealed": sealed, "reason": "broken"}, follow=True)
        assert "12.50 EUR goes back" in response.content.decode()
        assert [each["amount"] for each in stripe.objects("refund")] == [1250]
        assert LedgerEntry.objects.count() == 1

    def test_a_preview_that_another_refund_made_wrong_does_nothing(self, order: Order, stripe: FakeStripe):
        client = client_of("operator")
        first, second = (client.get(self.address(order), {"amount": "10"}).context["sealed"] for _ in range(2))
        client.post(self.address(order), {"sealed": first, "reason": "broken"})
        response = client.post(self.address(order), {"sealed": second, "reason": "broken"}, follow=True)
        assert "another refund came between" in response.content.decode()
        assert len(stripe.objects("refund")) == 1

    @pytest.mark.parametrize("sealed", ["", "x", "x:y:z"])
    def test_without_its_seal_nothing_is_done(self, order: Order, sealed: str, stripe: FakeStripe):
        client_of("operator").post(self.address(order), {"sealed": sealed, "reason": "x", "amount": "50"})
        assert not stripe.objects("refund")

    def test_anothers_preview_is_not_mine(self, order: Order, stripe: FakeStripe):
        sealed = client_of("administrator").get(self.address(order)).context["sealed"]
        client_of("operator").post(self.address(order), {"sealed": sealed, "reason": "x"})
        assert not stripe.objects("refund")

    def test_a_reason_is_needed(self, order: Order, stripe: FakeStripe):
        client = client_of("operator")
        sealed = client.get(self.address(order)).context["sealed"]
        response = client.post(self.address(order), {"sealed": sealed, "reason": " "})
        assert response.status_code == 400
        assert response.context["sealed"] == sealed
        assert not stripe.objects("refund")

    def test_stripe_does_not_answer(self, order: Order, stripe: FakeStripe, impatient: None):
        stripe.fault("POST /v1/refunds", "cut")
        client = client_of("operator")
        sealed = client.get(self.address(order)).context["sealed"]
        response = client.post(self.address(order), {"sealed": sealed, "reason": "x"}, follow=True)
        assert "Stripe has not answered yet" in response.content.decode()

    def test_a_disputed_order_has_no_button_and_says_why(self, order: Order, stripe: FakeStripe):
        stripe.act("dispute", order.payment_intent)
        tell(stripe.events())
        page = client_of("operator").get(reverse("admin:payments_order_change", args=[order.pk])).content.decode()
        assert "A bank disputes this payment" in page
        assert self.address(order) not in page

    def test_an_observer_sees_no_button(self, order: Order):
        page = client_of("observer").get(reverse("admin:payments_order_change", args=[order.pk])).content.decode()
        assert self.address(order) not in page
        assert order.reference in page


class TestProblems:
    def test_the_list_offers_the_refund_in_one_click(self, problem: Problem):
        page = client_of("operator").get("/admin/payments/problem/?state=open").content.decode()
        assert f"/admin/payments/problem/{problem.pk}/refund/" in page
        for address in ("/admin/payments/problem/", f"/admin/payments/problem/{problem.pk}/change/"):
            assert f"{problem.pk}/refund/" not in client_of("observer").get(address).content.decode()

    def test_the_navigation_counts_them(self, problem: Problem):
        assert re.search(r"Problems.{0,400}?\b1\b", client_of("operator").get("/admin/").content.decode(), re.DOTALL)

    def test_refunded_it_is_resolved(self, problem: Problem, stripe: FakeStripe):
        client, address = client_of("operator"), reverse("admin:payments_problem_refund", args=[problem.pk])
        page = client.get(address)
        assert 'name="amount"' not in page.content.decode()
        client.post(address, {"sealed": page.context["sealed"], "reason": "too late"})
        problem.refresh_from_db()
        assert problem.resolved_at
        assert LedgerEntry.objects.get().items == [problem.order_id]


class TestCatalogue:
    def fields(self, **changed: Any) -> dict[str, Any]:
        return {"sku": "cap", "name": "Cap", "unit_amount": "1500", "currency": "eur", "quantity_max": "5", **changed}

    def test_a_new_product_is_in_the_ledger(self, products: dict[str, Product]):
        response = client_of("administrator").post("/admin/payments/product/add/", self.fields())
        assert response.status_code == 302
        assert Product.objects.get(sku="cap").unit_amount == 1500
        entry = LedgerEntry.objects.get()
        assert (entry.act, entry.actor_name) == ("add_product", "administrator")

    @pytest.mark.parametrize(
        "wrong", [{"unit_amount": "0"}, {"unit_amount": "-1"}, {"currency": "EURO"}, {"currency": "EU1"}]
    )
    def test_what_is_refused(self, wrong: dict[str, str], products: dict[str, Product]):
        response = client_of("administrator").post("/admin/payments/product/add/", self.fields(**wrong))
        assert response.status_code == 200
        assert not Product.objects.filter(sku="cap").exists()

    def test_an_operator_only_looks(self, products: dict[str, Product]):
        product = Product.objects.get(sku="ticket")
        client_of("operator").post(f"/admin/payments/product/{product.pk}/change/", self.fields())
        product.refresh_from_db()
        assert product.unit_amount == 2500
