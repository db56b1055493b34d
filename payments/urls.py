"""URLs of the money side; mounted at the root."""

from __future__ import annotations

from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache

from payments import api

urlpatterns: list[URLPattern] = [
    path("api/v1/checkout/", never_cache(api.Checkout.as_view()), name="api-checkout"),
]
