"""Incidents: what customers felt of a page, opened and closed with its alerts; one open a capability."""

from __future__ import annotations

from datetime import datetime

from queues.monitor.models import Alert, Incident

WORDS = "Some of it fails or is late. We are looking into it."
"""For customers; staff may write more."""


def begin(alert: Alert, *, now: datetime) -> None:
    """Open the incident of the capability that the alert names, or join the open one. Others have no incident."""
    capability = str(alert.values.get("capability", ""))[:60]
    if not capability:
        return
    fresh = Incident(
        capability=capability, title=f"{capability}: disturbed", words=WORDS, started_at=now, updated_at=now
    )
    Incident.objects.bulk_create([fresh], ignore_conflicts=True)
    incident = Incident.objects.filter(capability=capability, ended_at__isnull=True).first()
    if incident is not None:
        Alert.objects.filter(pk=alert.pk).update(incident=incident)
        alert.incident = incident


def end(alert: Alert, *, now: datetime) -> None:
    """Close the alert's incident if no other alert of it is open."""
    if alert.incident_id is None:
        return
    others = Alert.objects.filter(incident_id=alert.incident_id).exclude(state=Alert.State.RESOLVED)
    if not others.exclude(pk=alert.pk).exists():
        over = Incident.objects.filter(pk=alert.incident_id, ended_at__isnull=True)
        over.update(ended_at=now, updated_at=now)
