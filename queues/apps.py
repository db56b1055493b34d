"""The queues app as Django knows it."""

from django.apps import AppConfig


class QueuesConfig(AppConfig):
    """Knows how work is queued, retried, measured and redriven."""

    name = "queues"
    verbose_name = "Queues"

    def ready(self) -> None:
        """Register the queues of our own rooms."""
        from queues.email.queue import EMAIL
        from queues.engine import registry

        registry.register(EMAIL)
