"""Gathers the admin classes that the rooms of queues define."""

from queues.desk import (
    alert_messages_admin,
    alerts_admin,
    email_admin,
    foreign_admin,
    groups_admin,
    operations_admin,
    pauses_admin,
    records_admin,
    silences_admin,
    suppressions_admin,
    tokens_admin,
    webhook_admin,
)

__all__ = [
    "alert_messages_admin",
    "alerts_admin",
    "email_admin",
    "foreign_admin",
    "groups_admin",
    "operations_admin",
    "pauses_admin",
    "records_admin",
    "silences_admin",
    "suppressions_admin",
    "tokens_admin",
    "webhook_admin",
]
