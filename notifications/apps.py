"""The notifications app as Django knows it."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """Push: installations, devices, deliveries, transports, registration API."""

    name = "notifications"
    verbose_name = "Notifications"
