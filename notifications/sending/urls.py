"""URLs of sending: a device acknowledges, programs push."""

from __future__ import annotations

from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache

from notifications.api import pushes
from notifications.sending import ack_view

urlpatterns: list[URLPattern] = [
    path("api/v1/pushes/", never_cache(pushes.Pushes.as_view()), name="api-pushes"),
    path("api/v1/pushes/<uuid:push_id>/", never_cache(pushes.Push.as_view()), name="api-push"),
    path("push/ack/<str:token>/", ack_view.acknowledge, name="push-ack"),
]
