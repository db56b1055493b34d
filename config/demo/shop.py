"""A tiny shop: what a company's product would be, beside Redrive. It buys as the logged-in customer."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import Group, User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from payments import api, catalogue, checkout, money
from payments.models import Order, Product
from payments.permissions import CUSTOMER
from queues.engine.outcomes import Outcome

ORDERS_SHOWN = 10
STOCK = (
    ("strings", "Night of the Strings, one seat", 2500, "eur"),
    ("jazz", "Jazz on the River, one seat", 1850, "eur"),
    ("poster", "The Lighthouse Tour, poster", 700, "eur"),
    ("sake", "Small Hours in Kyoto, one seat", 4800, "jpy"),
)


def stock() -> int:
    """Fill the shelves, and let the demo's customers buy; returns how many products are new."""
    made = [
        Product.objects.get_or_create(sku=sku, defaults={"name": name, "unit_amount": amount, "currency": currency})[1]
        for sku, name, amount, currency in STOCK
    ]
    for user in User.objects.filter(username="customer"):
        user.groups.add(Group.objects.get(name=CUSTOMER))
    return sum(made)


@login_required
@require_safe
def shop(request: HttpRequest) -> HttpResponse:
    """The shelves, and what this customer bought."""
    orders = Order.objects.filter(user_id=request.user.pk or 0)[:ORDERS_SHOWN]
    shelves = Product.objects.filter(active=True)
    context = {
        "products": [(each, money.show(each.unit_amount, each.currency)) for each in shelves],
        "orders": orders,
        "key": uuid.uuid4().hex,
        "may_buy": request.user.has_perm("payments.checkout_order"),
        "came_back": request.GET.get("checkout", ""),
    }
    return render(request, "demo/shop.html", context)


@login_required
@require_POST
def buy(request: HttpRequest) -> HttpResponse:
    """Begin a checkout, as the API does, and go to Stripe's page."""
    if not (isinstance(request.user, User) and request.user.has_perm("payments.checkout_order")):
        messages.error(request, "This account may not buy: log in as customer.")
        return redirect("demo:shop")
    quantity = request.POST.get("quantity", "1")
    wanted = int(quantity) if quantity.isascii() and quantity.isdigit() and len(quantity) < 4 else 0
    if not wanted:
        messages.error(request, "How many? A number from 1.")
        return redirect("demo:shop")
    try:
        begun = checkout.begin(
            user=request.user,
            items=[catalogue.Item(sku=request.POST.get("sku", ""), quantity=wanted)],
            key=request.POST.get("key", "")[:200] or None,
            address=api.network(request.META.get("REMOTE_ADDR", "")),
            now=timezone.now(),
        )
    except checkout.TooMany:
        messages.error(request, "Too many checkouts within an hour; this is the limit at work.")
    except (catalogue.Refused, checkout.KeyConflict, checkout.Over) as error:
        messages.error(request, f"That cannot be bought: {error}")
    except Outcome as outcome:
        messages.error(request, f"{api.SAFE} ({outcome.words})")
    else:
        return redirect(begun.order.session_url)
    return redirect("demo:shop")
