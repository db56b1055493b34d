"""Fixtures that flows borrow from the rooms they walk through."""

from tests.payments.conftest import buy, customer, impatient, products, stripe, stripe_process
from tests.queues.email.conftest import sink, sink_process

__all__ = ["buy", "customer", "impatient", "products", "sink", "sink_process", "stripe", "stripe_process"]
