"""OpenTelemetry: where OTEL_EXPORTER_OTLP_ENDPOINT is set, spans of requests, enqueueing, attempts and provider calls.

    request ─▶ enqueue ══(the row's origin)══▶ attempt ─▶ provider call          ══ a link, not a parent: hours may lie
                                                                                    between, and one run has many causes

Where it is not set nothing of OpenTelemetry is imported. What a span tells is our own words: no address, no payload,
and of an exception its class alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse

from queues.engine import log, spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

logger = log.get(__name__)

SERVICE = "redrive"
EXPORT_SECONDS = 5
QUEUE_SPANS = 2048
"""Spans kept for a collector that is away; further ones are dropped, and work goes on."""
DELAY_MILLISECONDS = 1000
_provider: TracerProvider | None = None


def begin() -> None:
    """Trace, if the setting says where to; called once a process, while the apps become ready."""
    endpoint = settings.OTEL_EXPORTER_OTLP_ENDPOINT
    if endpoint and _provider is None:
        start(endpoint)


def start(endpoint: str) -> None:
    """Send spans to an OTLP/HTTP collector; `endpoint` without `/v1/traces`, as OpenTelemetry's own setting has it."""
    global _provider
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS, schedule_delay_millis=DELAY_MILLISECONDS)
    )
    _provider = provider
    spans.install(_Tracer(provider))


def stop() -> None:
    """Send what is waiting, and trace no more."""
    global _provider
    spans.install(None)
    if _provider is not None:
        _provider.shutdown()
        _provider = None


class _Tracer:
    """OpenTelemetry behind `spans`."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.trace = trace
        self.tracer = provider.get_tracer(SERVICE)
        self.propagator = TraceContextTextMapPropagator()

    def span(
        self, name: str, *, kind: spans.Kind, link: str, attributes: dict[str, spans.Attribute]
    ) -> AbstractContextManager[object]:
        """See `spans.Tracer`."""
        return self._span(name, kind, link, attributes)

    @contextmanager
    def _span(
        self, name: str, kind: spans.Kind, link: str, attributes: dict[str, Any], parent: Any = None
    ) -> Iterator[Any]:
        trace = self.trace
        links = [trace.Link(context)] if link and (context := self._context(link)).is_valid else []
        with self.tracer.start_as_current_span(
            name,
            context=parent,
            kind=trace.SpanKind[kind.upper()],
            attributes=attributes,
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                raise

    def traceparent(self) -> str:
        """See `spans.Tracer`."""
        carrier: dict[str, str] = {}
        self.propagator.inject(carrier)
        return carrier.get("traceparent", "")

    def request(self, request: HttpRequest) -> AbstractContextManager[Any]:
        """The span of a request; a child of the caller's, if it says which that is."""
        parent = self.propagator.extract({"traceparent": request.META.get("HTTP_TRACEPARENT", "")})
        attributes = {"http.request.method": request.method or ""}
        return self._span(request.method or "HTTP", "server", "", attributes, parent)

    def _context(self, traceparent: str) -> Any:
        return self.trace.get_current_span(self.propagator.extract({"traceparent": traceparent})).get_span_context()


class Requests:
    """The middleware that makes a span of each request; not even there where nothing is traced."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        tracer = spans._tracer
        if not isinstance(tracer, _Tracer):
            return self.get_response(request)
        with tracer.request(request) as span:
            response = self.get_response(request)
            match = request.resolver_match
            if match is not None:  # the route, not the path: that may hold a token
                span.update_name(f"{request.method} /{match.route}")
                span.set_attribute("http.route", f"/{match.route}")
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 500:
                span.set_status(tracer.trace.StatusCode.ERROR)
            return response
