"""A request and what it caused, far from it in time and process: one id in every log line, one trace with a link."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pytest_django import Settings
from structlog.stdlib import ProcessorFormatter

from config.middleware import RequestId
from queues.email import emails
from queues.email.models import EmailMessage
from queues.engine import log, origin, registry, spans
from queues.engine.drain import Drain
from queues.monitor import tracing
from queues.webhooks.models import WebhookEvent
from tests.queues.monitor.receiver import Receiver
from tests.queues.webhooks import deliveries
from tests.smtp_sink import Sink

logger = log.get("tests.tracing")
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the root handler writes."""
    root = logging.getLogger()
    formatter = next(h.formatter for h in root.handlers if isinstance(h.formatter, ProcessorFormatter))
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


@pytest.fixture
def collector(settings: Settings) -> Iterator[Receiver]:
    """A small OTLP/HTTP receiver, and tracing to it."""
    with Receiver(answer=b"") as receiver:
        settings.OTEL_EXPORTER_OTLP_ENDPOINT = receiver.url
        tracing.begin()
        yield receiver
        tracing.stop()


def traced(receiver: Receiver) -> dict[str, Any]:
    """All spans it got, by name."""
    tracing.stop()  # sends what waits
    found = {}
    for request in receiver.requests:
        assert request.path == "/v1/traces"
        exported = ExportTraceServiceRequest.FromString(request.body)
        for resource in exported.resource_spans:
            assert {each.key: each.value.string_value for each in resource.resource.attributes}[
                "service.name"
            ] == "redrive"
            for scope in resource.scope_spans:
                found.update({span.name: span for span in scope.spans})
    return found


def drained() -> None:
    Drain(registry.get("email")).run()


@pytest.mark.django_db(transaction=True)
def test_one_id_from_the_request_to_the_provider(sink: Sink, lines: io.StringIO):
    """The web's request id stands on the lines of the worker that runs what it enqueued, hours later."""
    sink.set_behaviour("451", times=1)

    def view(request: HttpRequest) -> HttpResponse:
        emails.enqueue(to=["anna@example.com"], subject="Hello", text="Hello")
        return HttpResponse()

    with log.bound(request_id="shop-1234567"):
        view(RequestFactory().get("/"))
    assert EmailMessage.objects.get().origin == "shop-1234567"
    lines.truncate(0)
    drained()
    said = [json.loads(line) for line in lines.getvalue().replace("\x00", "").splitlines()]
    retried = next(line for line in said if line["event"] == "item.retry")
    assert retried["request_id"] == "shop-1234567"
    assert (retried["queue"], retried["attempt"]) == ("email", 1)


@pytest.mark.django_db
def test_an_event_bears_the_id_of_its_delivery(settings: Settings):
    """Through the receipt's own statement, on both databases; the answer names the id."""
    settings.STRIPE_WEBHOOK_SECRETS = [deliveries.SECRET]
    answer = deliveries.post(deliveries.snapshot())
    assert WebhookEvent.objects.get().origin == answer["X-Request-ID"]


def test_what_nobody_asked_for_has_no_origin():
    assert origin.current() is None
    assert origin.read(None) == origin.Origin()
    assert origin.read("abc") == origin.Origin("abc")
    assert origin.read(f"abc {PARENT}") == origin.Origin("abc", PARENT)
    assert origin.read(f" {PARENT}") == origin.Origin("", PARENT)
    assert origin.read("abc half-a-trace") == origin.Origin("abc")
    with log.bound(request_id="x" * 200):
        assert origin.current() is None, "it would not fit"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("shop-1234567", True),
        ("4bf92f35-77b3-4da6-a3ce-929d0e0e4736", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("short", False),
        ("", False),
        ("-starts-badly", False),
        ('x"},{"event":"fake"}', False),
        ("with space inside", False),
        ("with\nbreak1234", False),
        ("ünïcödé12345", False),
        ("\x1b[31mred-alert", False),
    ],
)
def test_a_request_id_from_outside_is_kept_if_it_is_sane(given: str, kept: bool):
    """Else it gets one of ours; the answer says which."""
    seen = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request.headers["X-Request-ID"])
        return HttpResponse()

    request = RequestFactory().get("/", HTTP_X_REQUEST_ID=given)
    answer = RequestId(view)(request)
    (request_id,) = seen
    assert (request_id == given) is kept
    assert len(request_id) >= 8
    assert answer["X-Request-ID"] == request_id


@pytest.mark.django_db
def test_a_requests_line_names_its_room_and_id(lines: io.StringIO):
    """`feature` and `request_id` on the line of the outcome."""
    answer = Client(headers={"X-Request-ID": "probe-00001"}).get("/healthz")
    line = next(json.loads(each) for each in lines.getvalue().splitlines() if "request_finished" in each)
    assert answer["X-Request-ID"] == "probe-00001"
    assert (line["request_id"], line["feature"]) == ("probe-00001", "monitor")


@pytest.mark.django_db(transaction=True)
def test_the_run_is_linked_to_the_request_that_enqueued(sink: Sink, collector: Receiver):
    """Request, enqueue, attempt, handler, provider call; the attempt is a trace of its own with a link to the cause."""

    def view(request: HttpRequest) -> HttpResponse:
        with transaction.atomic():
            emails.enqueue(to=["anna@example.com"], subject="A secret", text="Hello")
        return HttpResponse(status=202)

    request = RequestFactory().post("/x/", HTTP_TRACEPARENT=PARENT)
    request.resolver_match = None  # type: ignore[assignment]
    with log.bound(request_id="shop-1234567"):
        assert tracing.Requests(view)(request).status_code == 202
    row = EmailMessage.objects.get()
    request_id, _, trace = str(row.origin).partition(" ")
    assert (request_id, trace.split("-")[1]) == ("shop-1234567", PARENT.split("-")[1])
    drained()
    found = traced(collector)
    assert set(found) == {"POST", "enqueue", "attempt", "handle email", "send mail"}
    assert found["POST"].parent_span_id.hex() == PARENT.split("-")[2]
    assert found["enqueue"].parent_span_id == found["POST"].span_id
    assert found["attempt"].trace_id != found["POST"].trace_id
    (link,) = found["attempt"].links
    assert (link.trace_id, link.span_id) == (found["enqueue"].trace_id, found["enqueue"].span_id)
    assert found["send mail"].parent_span_id == found["handle email"].span_id
    assert found["handle email"].parent_span_id == found["attempt"].span_id
    told = {each.key for each in found["attempt"].attributes}
    assert told == {"queue", "item", "attempt"}
    sent = b"".join(each.body for each in collector.requests)
    assert b"anna" not in sent
    assert b"A secret" not in sent


@pytest.mark.django_db(transaction=True)
def test_a_failure_is_told_by_its_class_alone(sink: Sink, collector: Receiver):
    """What the provider said may hold an address."""
    sink.set_behaviour("550", times=1)
    emails.enqueue(to=["anna@example.com"], subject="Hello", text="Hello")
    drained()
    found = traced(collector)
    assert found["send mail"].status.code == 2
    assert found["send mail"].status.message == "Refused"
    assert not found["send mail"].events


@pytest.mark.django_db
def test_a_collector_that_is_away_holds_nobody_up(settings: Settings):
    """Spans are dropped, work goes on."""
    tracing.start("http://127.0.0.1:9")
    try:
        assert Client().get("/healthz").status_code == 200
    finally:
        spans.install(None)
        provider, tracing._provider = tracing._provider, None
    assert provider is not None


@pytest.mark.once
def test_without_the_setting_nothing_of_it_is_imported():
    """Zero cost when off: no span, no middleware, no module."""
    code = (
        "import django, sys; django.setup();"
        "from queues.engine import spans; assert spans._tracer is None;"
        "from contextlib import nullcontext; assert isinstance(spans.span('x'), nullcontext);"
        "from django.core.handlers.wsgi import WSGIHandler; WSGIHandler();"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": "/usr/bin:/bin"}
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=django_settings.BASE_DIR, env=environment, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
