"""Installations at the desk: copies of the app, and the addresses each has had."""

from __future__ import annotations

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from notifications import device_admin, faces
from notifications.models import Installation
from queues.desk import marks
from queues.desk.records_admin import RecordAdmin


@admin.register(Installation)
class InstallationAdmin(RecordAdmin):
    """Copies of the app; each outlives its addresses."""

    list_display = ("shown", "user", "app", "platform", "app_version", "locale", "seen")
    list_display_links = ("shown",)
    fields = ("shown", "user", "app", "platform", "app_version", "locale", "installation_id", "seen", "addresses")
    readonly_fields = fields
    list_select_related = ("user",)
    ordering = ("-id",)
    search_fields = ("user__username__exact", "installation_id__exact")
    search_help_text = "Exact user name or installation id"

    @display(description="installation")
    def shown(self, row: Installation) -> str:
        """What its user calls it."""
        return str(row)

    @display(description="seen")
    def seen(self, row: Installation) -> SafeString:
        """When it came last."""
        return marks.moment(row.last_seen_at, now=timezone.now())

    @display(description="addresses")
    def addresses(self, row: Installation) -> SafeString:
        """All it had, the newest first."""
        devices = row.devices.select_related("installation").order_by("-pk")[:50]
        lines = (
            (faces.device(each), device_admin.page(each), each.get_transport_display(), each.pk) for each in devices
        )
        return format_html_join("", '<p>{} <a class="desk-link" href="{}">{} {}</a></p>', lines) or marks.nothing()
