"""The config app as Django knows it: settings checks, commands and static files of the whole."""

from django.apps import AppConfig


class RedriveConfig(AppConfig):
    """Registers the system checks."""

    name = "config"
    verbose_name = "Redrive"

    def ready(self) -> None:
        from config import checks  # noqa: F401  (registers itself)
