"""What the payments tests share: a fake Stripe, a catalogue, a customer, and events told straight to their handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings

from payments import catalogue, checkout
from payments.models import Order, Problem, Product
from queues.webhooks import handlers, stripe_api, stripe_http
from tests.fake_stripe import FakeStripe

type Buy = Callable[..., Order]


@pytest.fixture(scope="session")
def stripe_process() -> Iterator[FakeStripe]:
    with FakeStripe() as stripe:
        yield stripe


@pytest.fixture
def stripe(stripe_process: FakeStripe, settings: Settings) -> FakeStripe:
    """An empty, friendly Stripe, and our settings pointing at it."""
    stripe_process.clear()
    settings.STRIPE_API_KEY = "sk_test_0123456789"
    settings.STRIPE_API_BASE = stripe_process.url
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "stripe.read": (1000, 1)}
    return stripe_process


@pytest.fixture
def impatient(stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Calls to Stripe end after one second instead of fifteen."""
    client = stripe_http.Client(call_seconds=1.0)
    stripe_api._client.cache_clear()
    monkeypatch.setattr(stripe_api, "_http", lambda: client)
    yield
    stripe_api._client.cache_clear()


@pytest.fixture
def products(db: None) -> dict[str, Product]:
    """The catalogue: euros, yen and dinars."""
    made = [
        Product(sku="ticket", name="Night of the Strings", unit_amount=2500, currency="eur"),
        Product(sku="poster", name="Poster", unit_amount=700, currency="eur", quantity_max=3),
        Product(sku="sake", name="Sake", unit_amount=1200, currency="jpy"),
        Product(sku="oud", name="Oud lesson", unit_amount=15500, currency="kwd"),
        Product(sku="gone", name="Last year's tour", unit_amount=100, currency="eur", active=False),
    ]
    return {product.sku: product for product in Product.objects.bulk_create(made)}


@pytest.fixture
def customer(db: None) -> User:
    """Somebody who may buy."""
    user = User.objects.create_user("carla", "carla@example.com")
    user.groups.add(Group.objects.get_or_create(name="Customer")[0])
    return user


@pytest.fixture
def buy(stripe: FakeStripe, products: dict[str, Product], customer: User) -> Buy:
    """`buy("ticket", 2)`: an order with its session at the fake."""

    def order(sku: str = "ticket", quantity: int = 1, *, key: str | None = None) -> Order:
        items = [catalogue.Item(sku=sku, quantity=quantity)]
        begun = checkout.begin(user=customer, items=items, key=key, address="192.0.2.1", now=timezone.now())
        return begun.order

    return order


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


def event_of(told: dict[str, Any], *, behind: bool = False) -> handlers.Event:
    """One of Stripe's events as a handler is given it."""
    about = told["data"]["object"]
    return handlers.Event(
        id=told["id"],
        type=told["type"],
        created=datetime.fromtimestamp(told["created"], UTC),
        data=told,
        object=about,
        object_id=about["id"],
        account=told.get("account", ""),
        livemode=False,
        api_version=told["api_version"],
        row_id=1,
        behind=behind,
        is_current=False,
    )


def tell(events: Iterable[dict[str, Any]]) -> None:
    """Run the handlers of these events as the webhook queue does: fetch outside, apply inside a transaction."""
    for told in events:
        event = event_of(told)
        for handler in handlers.of_type(event.type):
            fetched = handler.fetch(event) if handler.fetch else None
            with transaction.atomic(), stripe_api.forbidden("inside apply"):
                handler.apply(event, fetched)
