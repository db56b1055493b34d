"""URLs of the webhook room."""

from __future__ import annotations

from django.urls import URLPattern, path

from queues.webhooks import receive_view

urlpatterns: list[URLPattern] = [path("webhooks/stripe/", receive_view.stripe, name="stripe-webhook")]
