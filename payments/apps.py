"""The payments app as Django knows it."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class PaymentsConfig(AppConfig):
    """Orders, checkout, refunds, disputes: what a Stripe event means."""

    name = "payments"
    verbose_name = "Payments"

    def ready(self) -> None:
        """Register webhook handlers and e-mail types; give the groups their permissions after each migrate."""
        from payments import handlers, mails, permissions, subscriptions  # noqa: F401  (handlers register themselves)
        from queues.email import types

        types.register(mails.RECEIPT, mails.REFUND)
        post_migrate.connect(permissions.ensure, sender=self)
