"""URLs of the API."""

from __future__ import annotations

from django.urls import URLPattern, path, register_converter
from django.urls.converters import IntConverter
from django.views.decorators.cache import never_cache
from rest_framework.views import APIView

from queues.desk.api import docs, emails, items, pauses, queues, records


class IdConverter(IntConverter):
    """A row's id: no more digits than a BIGINT has, or the database would refuse the query."""

    regex = "[0-9]{1,18}"


register_converter(IdConverter, "id")

FURTHER: list[tuple[str, type[APIView], str]] = [
    ("email/suppressions", records.Suppressions, "suppressions"),
    ("email/suppressions/<id:pk>/lift", records.Lift, "lift"),
    ("ledger", records.Ledger, "ledger"),
    ("<slug:queue>/items/<id:pk>", items.OneItem, "item"),
    ("<slug:queue>/items/<id:pk>/payload", items.Payload, "payload"),
    ("<slug:queue>/items/<id:pk>/edit", items.Edit, "edit"),
    ("<slug:queue>/export", items.Export, "export"),
    ("<slug:queue>/pause", pauses.Pause, "pause"),
    ("<slug:queue>/resume", pauses.Resume, "resume"),
    ("<slug:queue>/run", pauses.Run, "run"),
    ("<slug:queue>/groups", records.Groups, "groups"),
    ("<slug:queue>/groups/<id:pk>/<slug:verdict>", records.Verdict, "verdict"),
]
"""Below the queues: the address, its view, the end of its name."""

urlpatterns: list[URLPattern] = [
    path("api/v1/emails/", never_cache(emails.Emails.as_view()), name="api-emails"),
    path("api/v1/emails/<id:pk>/", never_cache(emails.Email.as_view()), name="api-email"),
    path("api/v1/queues/", never_cache(queues.Queues.as_view()), name="api-queues"),
    path("api/v1/queues/<slug:queue>/items/", never_cache(queues.Items.as_view()), name="api-queue-items"),
    path("api/v1/queues/<slug:queue>/acts/<slug:act>/plan/", never_cache(queues.Plans.as_view()), name="api-plan"),
    path("api/v1/queues/<slug:queue>/acts/<slug:act>/", never_cache(queues.Acts.as_view()), name="api-act"),
    path("api/v1/queues/<slug:queue>/operations/", never_cache(queues.Operations.as_view()), name="api-operations"),
    path(
        "api/v1/queues/<slug:queue>/operations/<id:pk>/",
        never_cache(queues.OneOperation.as_view()),
        name="api-operation",
    ),
    path("api/v1/queues/<slug:queue>/operations/<id:pk>/start/", never_cache(queues.Start.as_view()), name="api-start"),
    path("api/v1/queues/<slug:queue>/operations/<id:pk>/abort/", never_cache(queues.Abort.as_view()), name="api-abort"),
    path("api/v1/queues/<slug:queue>/operations/<id:pk>/undo/", never_cache(queues.Undo.as_view()), name="api-undo"),
    *(
        path(f"api/v1/queues/{route}/", never_cache(view.as_view()), name=f"api-{name}")
        for route, view, name in FURTHER
    ),
    path("api/schema/", docs.schema, name="api-schema"),
    path("api/docs/", docs.page, name="api-docs"),
]
