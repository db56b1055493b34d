"""The catalogue: what a wish costs. The client names things and numbers, never prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from payments import money
from payments.models import Product

LINES_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One wish."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What the wishes cost together, each line at the price of this moment."""

    lines: list[dict[str, Any]]
    amount: int
    currency: str


class Refused(ValueError):
    """Something wished cannot be sold: `errors` says which (`items.0.sku`) and why."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{name}: {' '.join(words)}" for name, words in errors.items()))


def quote(items: Sequence[Item]) -> Quote:
    """Price the wishes. Raises Refused with everything that is wrong."""
    products = {product.sku: product for product in Product.objects.filter(sku__in={each.sku for each in items})}
    errors: dict[str, list[str]] = {}
    lines: list[dict[str, Any]] = []
    seen: set[str] = set()
    for place, item in enumerate(items):
        product = products.get(item.sku)
        if product is None or not product.active:
            errors[f"items.{place}.sku"] = ["There is no such product for sale."]
            continue
        if item.sku in seen:
            errors[f"items.{place}.sku"] = ["Named twice; say the quantity once."]
        if item.quantity > product.quantity_max:
            errors[f"items.{place}.quantity"] = [f"At most {product.quantity_max} in one order."]
        seen.add(item.sku)
        lines.append(
            {
                "sku": product.sku,
                "name": product.name,
                "unit_amount": product.unit_amount,
                "quantity": item.quantity,
            }
        )
    currencies = {products[line["sku"]].currency for line in lines}
    if len(currencies) > 1:
        errors["items"] = ["Not all in one currency: make one order for each."]
    amount = sum(line["unit_amount"] * line["quantity"] for line in lines)
    if amount > money.AMOUNT_MAX:
        errors["items"] = ["Too much for one payment."]
    if errors:
        raise Refused(errors)
    return Quote(lines=lines, amount=amount, currency=currencies.pop())
