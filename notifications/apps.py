"""The notifications app as Django knows it."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class NotificationsConfig(AppConfig):
    """Push: installations, devices, deliveries, transports, registration API."""

    name = "notifications"
    verbose_name = "Notifications"

    def ready(self) -> None:
        """Register the push queue; give the groups their permissions after each migrate."""
        from notifications import permissions
        from notifications.queue import PUSH
        from queues.engine import registry

        registry.register(PUSH)
        post_migrate.connect(permissions.ensure, sender=self)
