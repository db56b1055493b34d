"""The payments app as Django knows it."""

from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    """Orders, checkout, refunds, disputes: what a Stripe event means."""

    name = "payments"
    verbose_name = "Payments"
