"""Every message about alerts: to whom, how often tried, what became of it."""

from __future__ import annotations

from django.contrib import admin
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import display

from queues.desk import marks
from queues.desk.records_admin import RecordAdmin
from queues.monitor.models import AlertDelivery


@admin.register(AlertDelivery)
class AlertDeliveryAdmin(RecordAdmin):
    """Every message about alerts and what became of it."""

    list_display = ("created", "state", "subject", "channel", "to", "tries", "last_words")
    list_display_links = ("subject",)
    fields = ("created", "state", "subject", "kind", "channel", "to", "tries", "last_words")
    readonly_fields = fields
    ordering = ("-id",)

    @display(description="written")
    def created(self, row: AlertDelivery) -> SafeString:
        """When."""
        return marks.moment(row.created_at, now=timezone.now())

    @display(description="state")
    def state(self, row: AlertDelivery) -> SafeString:
        """Sent, waiting, given up."""
        return badge(row)


def badge(row: AlertDelivery) -> SafeString:
    """Sent, to be sent, tried in vain, given up."""
    if row.sent_at:
        return marks.badge("good", "Sent")
    if row.given_up_at:
        return marks.badge("bad", "Given up")
    return marks.badge("retrying", "Tried in vain") if row.last_words else marks.badge("pending", "To be sent")
