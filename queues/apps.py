"""The queues app as Django knows it."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class QueuesConfig(AppConfig):
    """Knows how work is queued, retried, measured and redriven."""

    name = "queues"
    verbose_name = "Queues"

    def ready(self) -> None:
        """Register the queues of our own rooms, and have permissions and groups made after each migrate."""
        from queues.desk import ledger_rule, permissions
        from queues.email.queue import EMAIL
        from queues.engine import registry
        from queues.monitor import burn_rules, evaluate, machine_rules, queue_rules, receipt_rules, rules
        from queues.webhooks.queue import WEBHOOK

        registry.register(EMAIL)
        registry.register(WEBHOOK)
        rules.register(*burn_rules.RULES, *queue_rules.RULES, *receipt_rules.RULES, *machine_rules.RULES)
        rules.register(evaluate.BROKEN, ledger_rule.RULE)
        post_migrate.connect(permissions.ensure, sender=self)
