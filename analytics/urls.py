"""URLs of the analytics pages and their API; mounted at the root."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path
from django.views.decorators.cache import never_cache

import queues.desk.api.urls  # noqa: F401  (registers the converter `id`)
from analytics import events_api, overview, pages, panels_api

PAGES: list[URLPattern] = [
    path("", never_cache(overview.overview), name="overview"),
    path("campaigns/<id:pk>/", never_cache(pages.campaign), name="campaign"),
    path("campaigns/<id:pk>/refresh/", pages.refresh, name="refresh"),
    path("campaigns/<id:pk>/banner/", never_cache(pages.campaign_banner), name="banner"),
    path("campaigns/<id:pk>/panels/<slug:name>/", never_cache(pages.panel), name="panel"),
    path("campaigns/<id:pk>/panels/<slug:name>.csv", never_cache(pages.panel_csv), name="csv"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("analytics/", include((PAGES, "analytics"))),
    path("api/v1/campaigns/<id:pk>/panels/", never_cache(panels_api.Panels.as_view()), name="api-panels"),
    path("api/v1/campaigns/<id:pk>/panels/<slug:name>/", never_cache(panels_api.OnePanel.as_view()), name="api-panel"),
    path("api/v1/campaigns/<id:pk>/refresh/", never_cache(panels_api.Refresh.as_view()), name="api-refresh"),
    path("api/v1/events/", never_cache(events_api.Events.as_view()), name="api-events"),
]
