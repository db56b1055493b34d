"""The pages of measures, mounted at /admin/monitor/ before the admin's own."""

from __future__ import annotations

from django.urls import path

from queues.desk import levels_page, limits_page, throughput_page, workers_page
from queues.desk.measured import guarded

app_name = "monitor"
urlpatterns = [
    path("levels/", guarded(levels_page.overview), name="levels"),
    path("levels/<str:key>/", guarded(levels_page.one), name="objective"),
    path("levels/<str:key>/items/", guarded(levels_page.items), name="items"),
    path("throughput/", guarded(throughput_page.view), name="throughput"),
    path("workers/", guarded(workers_page.view), name="workers"),
    path("limits/", guarded(limits_page.view), name="limits"),
]
