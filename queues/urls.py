"""Gathers the URLs that the rooms of queues define; mounted at the root."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from queues.monitor import health, metrics, status

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("status/", status.view, name="status"),
    path("", include("queues.email.urls")),
    path("", include("queues.webhooks.urls")),
    path("", include("queues.desk.api.urls")),
]
