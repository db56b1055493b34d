"""The analytics app as Django knows it."""

from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    """Campaigns, event intake, rollups, snapshots, panels, pages."""

    name = "analytics"
    verbose_name = "Analytics"
