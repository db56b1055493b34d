"""The payments app as Django knows it."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class PaymentsConfig(AppConfig):
    """Orders, checkout, refunds, disputes: what a Stripe event means."""

    name = "payments"
    verbose_name = "Payments"

    def ready(self) -> None:
        """Register handlers, e-mail types and what staff must see; give the groups their permissions after migrate."""
        from payments import handlers, mails, navigation, permissions, subscriptions  # noqa: F401  (the handlers)
        from queues.desk import concerns
        from queues.email import types

        types.register(mails.RECEIPT, mails.REFUND)
        concerns.register(navigation.concern)
        post_migrate.connect(permissions.ensure, sender=self)
