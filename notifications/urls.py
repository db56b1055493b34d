"""URLs of push: the API of devices, the customer's page, the service worker; mounted at the root."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path
from django.views.decorators.cache import never_cache

import queues.desk.api.urls  # noqa: F401  (registers the converter `id`)
from notifications import pages
from notifications.api import devices

PAGES: list[URLPattern] = [
    path("", never_cache(pages.devices), name="list"),
    path("preferences/", never_cache(pages.choose), name="choose"),
    path("<id:pk>/remove/", never_cache(pages.remove), name="remove"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/devices/", never_cache(devices.Devices.as_view()), name="api-devices"),
    path("api/v1/devices/<id:pk>/", never_cache(devices.Device.as_view()), name="api-device"),
    path("api/v1/devices/<id:pk>/verify/", never_cache(devices.Verify.as_view()), name="api-device-verify"),
    path("push/refresh/", never_cache(devices.Refresh.as_view()), name="push-refresh"),
    path("", include("notifications.sending.urls")),
    path("devices/", include((PAGES, "devices"))),
    path("redrive-sw.js", pages.service_worker, name="service-worker"),
]
