"""The money side at the desk: who gets what, by GET and by POST, and what the pages say and do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, reverse
from django.utils import timezone

from payments import permissions
from payments.models import Dispute, Invoice, Order, Problem, Product, Refund, Subscription
from queues.desk.ledger import LedgerEntry, verify
from tests.fake_stripe import FakeStripe
from tests.payments.conftest import Buy, tell
from tests.queues.desk.people import client_of, person

pytestmark = pytest.mark.django_db

ADMINISTRATORS = frozenset({"administrator"})
OPERATORS = ADMINISTRATORS | {"operator"}
STAFF = OPERATORS | {"observer"}
PEOPLE = ("anonymous", "customer", *sorted(STAFF))
MODELS = ("order", "refund", "dispute", "problem", "product", "subscription", "invoice")

PAGES = {
    **{f"payments_{model}_{page}": STAFF for model in MODELS for page in ("changelist", "change")},
    "payments_order_refund": OPERATORS,
    "payments_problem_refund": OPERATORS,
    "payments_problem_resolve": OPERATORS,
    "payments_product_add": ADMINISTRATORS,
}
"""Who may GET each address. What is neither here nor in `CLOSED` fails the test: a new page needs an entry."""
CLOSED = re.compile(r"payments_(order|refund|dispute|problem|subscription|invoice)_(add|delete|history)")
REST = re.compile(r"payments_product_(delete|history)")


def names() -> Iterator[str]:
    def walk(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns)
            elif pattern.name and pattern.name.startswith("payments_"):
                yield pattern.name

    yield from sorted(set(walk(admin.site.get_urls())))


@pytest.fixture
def order(stripe: FakeStripe, buy: Buy) -> Order:
    """Paid, 50.00 EUR, with everything around it."""
    bought = buy("ticket", 2)
    stripe.act("pay", bought.session_id)
    tell(stripe.events())
    bought.refresh_from_db()
    return bought


@pytest.fixture
def problem(order: Order, stripe: FakeStripe, buy: Buy) -> Problem:
    """Paid, but expired."""
    late = buy()
    Order.objects.filter(pk=late.pk).update(status="expired", expired_at=timezone.now())
    stripe.act("pay", late.session_id)
    tell(stripe.events())
    return Problem.objects.get()


@pytest.fixture
def addresses(order: Order, problem: Problem) -> dict[str, str]:
    now = timezone.now()
    rows = {
        "order": order.pk,
        "problem": problem.pk,
        "product": Product.objects.get(sku="ticket").pk,
        "refund": Refund.objects.create(
            stripe_id="re_1", order=order, payment_intent="pi_x", amount=1, currency="eur", state="succeeded"
        ).pk,
        "dispute": Dispute.objects.create(
            stripe_id="du_1", order=order, amount=1, currency="eur", state="lost", created_at=now
        ).pk,
        "subscription": Subscription.objects.create(stripe_id="sub_1", state="active", told_at=now).pk,
        "invoice": Invoice.objects.create(stripe_id="in_1", amount=900, currency="eur").pk,
    }
    found = {}
    for name in names():
        model, page = name.split("_")[1:]
        found[name] = reverse(f"admin:{name}", args=[] if page in ("changelist", "add") else [rows[model]])
    return found


def test_every_address_has_its_entry():
    assert [
        each for each in names() if each not in PAGES and not CLOSED.fullmatch(each) and not REST.fullmatch(each)
    ] == []


@pytest.mark.parametrize("who", PEOPLE)
def test_who_may_look(who: str, addresses: dict[str, str]):
    client = client_of(who)
    for name, allowed in PAGES.items():
        response = client.get(addresses[name])
        expected = 200 if who in allowed else 403 if who in STAFF else 302
        assert response.status_code == expected, (who, name)
        if expected == 302:
            assert response["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("who", PEOPLE)
def test_nobody_adds_edits_or_deletes_what_stripe_told(who: str, addresses: dict[str, str]):
    client = client_of(who)
    for name, address in addresses.items():
        if name.endswith(("_add", "_delete", "_change")) and "product" not in name:
            response = client.post(address, {"status": "paid", "state": "succeeded", "amount": "1", "post": "yes"})
            assert response.status_code in ({403, 405} if who in STAFF else {302}), (who, name)
    assert Order.objects.filter(status="paid").count() == 1
    assert Refund.objects.get().amount == 1


@pytest.mark.parametrize("who", PEOPLE)
def test_who_may_act(who: str, order: Order, problem: Problem, stripe: FakeStripe):
    client = client_of(who)
    client_of("administrator")
    shown = client_of("administrator")
    for target in (order, problem):
        address = reverse(f"admin:payments_{target._meta.model_name}_refund", args=[target.pk])
        sealed = (client if who in OPERATORS else shown).get(address).context["sealed"]
        response = client.post(address, {"sealed": sealed, "reason": "because"})
        assert response.status_code == (302 if who not in STAFF or who in OPERATORS else 403)
    assert len(stripe.objects("refund")) == (2 if who in OPERATORS else 0)
    resolve = reverse("admin:payments_problem_resolve", args=[problem.pk])
    Problem.objects.update(resolved_at=None)
    client.post(resolve, {"reason": "because"})
    assert Problem.objects.filter(resolved_at__isnull=False).exists() == (who in OPERATORS)
    assert LedgerEntry.objects.count() == (3 if who in OPERATORS else 0)
    assert verify().whole


@pytest.mark.parametrize("who", sorted(STAFF))
def test_no_get_writes_anything(who: str, addresses: dict[str, str], stripe: FakeStripe):
    client = client_of(who)
    client.get("/admin/")
    asked = len(stripe.requests())
    with CaptureQueriesContext(connection) as queries:
        for address in addresses.values():
            client.get(address, {"reason": "because", "sealed": "x", "amount": "1", "action": "delete", "post": "yes"})
            client.get(address)
    writes = [each["sql"] for each in queries if re.match(r"\s*(INSERT|UPDATE|DELETE)", each["sql"])]
    assert [sql for sql in writes if "django_session" not in sql] == []
    assert len(stripe.requests()) == asked


def test_csrf_is_asked_for_every_act(addresses: dict[str, str]):
    client = client_of("administrator")
    client.handler.enforce_csrf_checks = True
    for name in ("payments_order_refund", "payments_problem_refund", "payments_problem_resolve"):
        assert client.post(addresses[name], {"reason": "because"}).status_code == 403


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


class TestGroups:
    def test_they_come_with_the_migration(self):
        codenames = {
            name: set(Group.objects.get(name=name).permissions.values_list("codename", flat=True))
            for name in ("Operator", "Observer", "Customer")
        }
        assert {"refund_order", "resolve_problem", "view_order", "view_problem"} <= codenames["Operator"]
        assert "view_order" in codenames["Observer"]
        assert not {"refund_order", "resolve_problem", "change_product"} & codenames["Observer"]
        assert codenames["Customer"] == {"checkout_order"}

    def test_what_an_administrator_took_stays_taken(self):
        operator = Group.objects.get(name="Operator")
        operator.permissions.remove(Permission.objects.get(codename="refund_order"))
        permissions.ensure(sender=None)  # type: ignore[arg-type]
        assert not operator.permissions.filter(codename="refund_order").exists()

    def test_a_single_permission_is_a_single_act(self, order: Order):
        helper = User.objects.create_user("helper", is_staff=True)
        for codename in ("view_order", "refund_order"):
            helper.user_permissions.add(Permission.objects.get(codename=codename))
        person("administrator")
        client = client_of("helper")
        assert client.get(reverse("admin:payments_order_refund", args=[order.pk])).status_code == 200
        assert client.get("/admin/payments/problem/").status_code == 403
