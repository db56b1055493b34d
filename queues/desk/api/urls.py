"""URLs of the API."""

from __future__ import annotations

from django.urls import URLPattern, path, register_converter
from django.urls.converters import IntConverter
from django.views.decorators.cache import never_cache

from queues.desk.api import docs, emails


class IdConverter(IntConverter):
    """A row's id: no more digits than a BIGINT has, or the database would refuse the query."""

    regex = "[0-9]{1,18}"


register_converter(IdConverter, "id")

urlpatterns: list[URLPattern] = [
    path("api/v1/emails/", never_cache(emails.Emails.as_view()), name="api-emails"),
    path("api/v1/emails/<id:pk>/", never_cache(emails.Email.as_view()), name="api-email"),
    path("api/schema/", docs.schema, name="api-schema"),
    path("api/docs/", docs.page, name="api-docs"),
]
