"""All recurring work of Redrive: name, what, how often. `manage.py sync_schedules` and every migrate make it so."""

from __future__ import annotations

from datetime import time

from queues.engine.recurring import Recurring

LONG = 30 * 60
"""Seconds for what walks large tables once a day, in small transactions."""

TABLE = [
    # Wake-ups start a drain at once; this clock finds what no wake-up announced.
    Recurring(name="drain email", task="queues.tasks.drain", args=("email",), minutes=1, queue="email"),
    Recurring(name="drain webhook", task="queues.tasks.drain", args=("webhook",), minutes=5, queue="webhook"),
    Recurring(name="drain push", task="queues.tasks.drain", args=("push",), minutes=1, queue="push"),
    Recurring(name="sweep stripe", task="queues.webhooks.tasks.sweep_stripe", minutes=60, timeout=LONG),
    Recurring(name="reclaim lost leases", task="queues.tasks.reclaim", minutes=1),
    Recurring(name="adopt tracking events", task="queues.tasks.adopt_tracking", minutes=1),
    Recurring(name="carry on operations", task="queues.tasks.carry_on_operations", minutes=1),
    Recurring(name="expire orders", task="payments.tasks.expire_orders", minutes=1),
    Recurring(name="send refunds", task="payments.tasks.send_refunds", minutes=1),
    Recurring(name="refresh rollups", task="analytics.tasks.refresh_rollups", minutes=1),
    Recurring(name="refresh watched panels", task="analytics.tasks.refresh_watched", minutes=1),
    Recurring(name="evaluate alerts", task="queues.tasks.evaluate_alerts", minutes=1),
    Recurring(name="measure", task="queues.tasks.measure", minutes=1),
    # At different times of the night, so that they do not take all workers at once.
    Recurring(name="note the ledger's head", task="queues.tasks.note_ledger_head", daily_at=time(0, 5)),
    Recurring(name="verify the ledger", task="queues.tasks.verify_ledger", daily_at=time(1, 20), timeout=LONG),
    Recurring(name="clean rate counters", task="queues.tasks.clean_rate_counters", daily_at=time(2, 10)),
    Recurring(name="remove old mail", task="queues.tasks.remove_old_mail", daily_at=time(2, 40), timeout=LONG),
    Recurring(
        name="remove old events", task="queues.webhooks.tasks.remove_old_events", daily_at=time(3, 10), timeout=LONG
    ),
    Recurring(
        name="remove old pushes", task="notifications.tasks.remove_old_pushes", daily_at=time(2, 55), timeout=LONG
    ),
    Recurring(name="age devices", task="notifications.tasks.age_devices", daily_at=time(4, 40), timeout=LONG),
    Recurring(
        name="remove old devices", task="notifications.tasks.remove_old_devices", minutes=7 * 24 * 60, timeout=LONG
    ),
    Recurring(name="check rollups", task="analytics.tasks.check_rollups", daily_at=time(3, 10), timeout=LONG),
    Recurring(name="clean analytics", task="analytics.tasks.clean", daily_at=time(3, 30)),
    Recurring(
        name="remove old analytics events",
        task="analytics.tasks.remove_old_events",
        daily_at=time(4, 10),
        timeout=LONG,
    ),
    Recurring(name="clean measures", task="queues.tasks.clean_measures", daily_at=time(4, 20)),
    Recurring(name="forget old heartbeats", task="queues.tasks.forget_heartbeats", daily_at=time(3, 50)),
]
