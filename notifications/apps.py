"""The notifications app as Django knows it."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class NotificationsConfig(AppConfig):
    """Push: installations, devices, deliveries, transports, registration API."""

    name = "notifications"
    verbose_name = "Push"

    def ready(self) -> None:
        """Register the push queue and its alert rules; give the groups their permissions after each migrate."""
        from notifications import alarms, permissions
        from notifications.queue import PUSH
        from queues.engine import registry
        from queues.monitor import rules

        registry.register(PUSH)
        rules.register(*alarms.RULES)
        post_migrate.connect(permissions.ensure, sender=self)
