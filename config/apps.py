"""The config app as Django knows it: settings checks, commands and static files of the whole."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class RedriveConfig(AppConfig):
    """Registers the system checks and the table of recurring work."""

    name = "config"
    verbose_name = "Redrive"

    def ready(self) -> None:
        """Wire what lies below."""
        from config import checks, objectives, schedules  # noqa: F401  (checks register themselves)
        from queues.engine import board, recurring
        from queues.monitor import objective, tracing

        board.connect()
        tracing.begin()
        recurring.fill(schedules.TABLE)
        objective.fill(objectives.everything)
        # Sent for apps with models alone, so not for this one.
        post_migrate.connect(recurring.after_migrate, sender=apps.get_app_config("django_q"))
