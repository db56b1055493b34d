"""The money side at the desk: who gets what, by GET and by POST, and what the pages say and do."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, reverse
from django.utils import timezone

from payments import permissions
from payments.models import Dispute, Invoice, Order, Problem, Product, Refund, Subscription
from queues.desk.ledger import LedgerEntry, verify
from tests.fake_stripe import FakeStripe
from tests.queues.desk.people import client_of, person

pytestmark = [pytest.mark.django_db, pytest.mark.once]

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


class TestGroups:
    @staticmethod
    def ours(name: str) -> QuerySet[Permission]:
        return Permission.objects.filter(group__name=name, content_type__app_label="payments")

    def test_groups_that_another_app_made_first_are_given_their_rights_too(self):
        for name in ("Administrator", "Operator", "Observer", "Customer"):
            Group.objects.get(name=name).permissions.remove(*self.ours(name))
        permissions.ensure(sender=None)  # type: ignore[arg-type]
        assert self.ours("Customer").get().codename == "checkout_order"
        assert self.ours("Operator").filter(codename="refund_order").exists()

    def test_they_come_with_the_migration(self):
        codenames = {
            name: set(self.ours(name).values_list("codename", flat=True))
            for name in ("Administrator", "Operator", "Observer", "Customer")
        }
        assert {"refund_order", "resolve_problem", "change_product"} <= codenames["Administrator"]
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


class TestStartPage:
    def test_open_problems_are_the_first_thing_staff_see(self, problem: Problem):
        page = client_of("observer").get("/admin/").content.decode()
        assert "Waits for a decision" in page
        assert re.search(r'href="/admin/payments/problem/\?state=open">1 problem with a payment<', page)
        Problem.objects.update(resolved_at=timezone.now())
        assert "Waits for a decision" not in client_of("observer").get("/admin/").content.decode()

    def test_who_may_not_see_problems_is_told_of_none(self, problem: Problem):
        User.objects.create_user("helper", is_staff=True)
        assert "Waits for a decision" not in client_of("helper").get("/admin/").content.decode()

    def test_they_are_counted_once_a_page(self, problem: Problem):
        client = client_of("operator")
        client.get("/admin/")
        with CaptureQueriesContext(connection) as queries:
            client.get("/admin/")
        counts = [each["sql"] for each in queries if "payments_problem" in each["sql"]]
        assert len(counts) == 1, counts
