"""URLs of the e-mail room: the unsubscribe page and the providers' tracking webhooks."""

from __future__ import annotations

from django.urls import URLPattern, path

from queues.email import tracking_view, unsubscribe_view

urlpatterns: list[URLPattern] = [
    path("unsubscribe/<str:token>/", unsubscribe_view.page, name="unsubscribe"),
    path("webhooks/email/<slug:provider>/", tracking_view.receive, name="email-tracking"),
]
