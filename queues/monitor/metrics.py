"""`/metrics` in Prometheus' text format: open to this machine, to others with `Authorization: Bearer METRICS_TOKEN`."""

from __future__ import annotations

import hmac
import ipaddress

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, exposition

from queues.engine import log
from queues.monitor.collector import Collector

logger = log.get(__name__)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """200 with the figures; 401 or 403 to who may not see them; 503 while the database is away."""
    if not may_see(request):
        status = 401 if settings.METRICS_TOKEN else 403
        return HttpResponse("Not for you.\n", status=status, content_type="text/plain", headers=_challenge(status))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(now=timezone.now()))
    try:
        text = exposition.generate_latest(registry)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("metrics.database_away", words=type(error).__name__)
        return HttpResponse("The database is away.\n", status=503, content_type="text/plain")
    return HttpResponse(text, content_type=exposition.CONTENT_TYPE_PLAIN_0_0_4)


def may_see(request: HttpRequest) -> bool:
    """Who has the token; or who asks from this machine itself, without a proxy's word that it asks for others."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if settings.METRICS_TOKEN and scheme.lower() == "bearer":
        # Bytes: compare_digest takes no text beyond ASCII, and a stranger may send that.
        return hmac.compare_digest(given.strip().encode("utf-8", "replace"), settings.METRICS_TOKEN.encode())
    return _loopback(request.META.get("REMOTE_ADDR", "")) and not getattr(request, "forwarded", False)


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _challenge(status: int) -> dict[str, str]:
    return {"WWW-Authenticate": "Bearer"} if status == 401 else {}
