"""The analytics app as Django knows it."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AnalyticsConfig(AppConfig):
    """Campaigns, event intake, rollups, snapshots, panels, pages."""

    name = "analytics"
    verbose_name = "Analytics"

    def ready(self) -> None:
        """Register the alert rule; give the groups their permissions after each migrate."""
        from analytics import alarms, permissions
        from queues.monitor import rules

        rules.register(alarms.RULE)
        post_migrate.connect(permissions.ensure, sender=self)
