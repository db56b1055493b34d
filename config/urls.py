"""All URLs of Redrive (DESIGN 4.4)."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from queues.desk import live_page

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("config.accounts")),
    path("admin/live/", admin.site.admin_view(live_page.numbers), name="desk-live"),  # before the admin's own catch-all
    path("admin/monitor/", include("queues.desk.monitor_urls")),
    path("admin/", admin.site.urls),
    path("", include("queues.urls")),
    path("", include("notifications.urls")),
    path("", include("payments.urls")),
    path("", include("analytics.urls")),
]

# Strangers see no traceback; who asks for JSON is answered in it.
handler404 = "queues.desk.api.errors.page_not_found"
handler500 = "queues.desk.api.errors.server_error"

if settings.DEMO:
    urlpatterns.append(path("demo/", include("config.demo.urls")))
