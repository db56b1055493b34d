"""The tables of the analytics pages. Counts and sums only: ratios are always computed from sums (`figures`).

    Event ──(same transaction)──▶ RollupDelta ──(every minute)──▶ RollupHour, RollupDimDay ──▶ PanelSnapshot

Money is whole micros (1/1,000,000 of the currency's unit) everywhere.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

MEASURES = (
    "impressions",
    "clicks",
    "conversions",
    "cost",
    "revenue",
    "measured",
    "viewable",
    "click_conversions",
    "view_conversions",
    "click_revenue",
    "view_revenue",
    "dropped",
)
"""What is counted and summed of events; the columns of the outbox and of both rollups."""


def check_time_zone(name: str) -> None:
    """Refuse what is no time zone of the IANA database."""
    if name not in available_timezones():
        raise ValidationError("Not a time zone like Europe/Berlin.")


class Kind(models.TextChoices):
    """What happened."""

    IMPRESSION = "impression"
    CLICK = "click"
    CONVERSION = "conversion"


class Campaign(models.Model):
    """What a customer pays for and looks at. Its time zone and currency are fixed once it has events."""

    name = models.CharField(max_length=200)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="campaigns")
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="shared_campaigns")
    currency = models.CharField(
        max_length=3, default="eur", validators=[RegexValidator(r"^[a-z]{3}\Z", "Three small letters: eur.")]
    )
    time_zone = models.CharField(max_length=64, default="UTC", validators=[check_time_zone])
    budget = models.BigIntegerField(null=True, blank=True, help_text="In micros; empty: without a budget")
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    raw_from = models.DateField(null=True, editable=False)
    """The first day whose raw events are all there; None: none was ever removed (`retention`)."""

    class Meta:
        ordering = ("name", "id")
        permissions = [("drill_campaign", "Can rehearse failures of the analytics pages")]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_on__isnull=True) | Q(ends_on__gte=models.F("starts_on")),
                name="campaign_ends_after_start",
            ),
            models.CheckConstraint(condition=Q(budget__isnull=True) | Q(budget__gt=0), name="campaign_budget_positive"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        """Its time zone."""
        return ZoneInfo(self.time_zone)


class Creative(models.Model):
    """One advertisement of a campaign. `key` is what the events call it."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="creatives")
    key = models.CharField(max_length=64)
    name = models.CharField(max_length=200)

    class Meta:
        ordering = ("campaign", "name", "id")
        constraints = [models.UniqueConstraint(fields=("campaign", "key"), name="creative_key")]

    def __str__(self) -> str:
        return self.name


class Event(models.Model):
    """One thing that happened, as it was told. Bots' events are kept too, with their reason, and are not counted."""

    event_id = models.UUIDField()
    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, db_index=False, related_name="+")
    creative = models.ForeignKey(Creative, null=True, on_delete=models.PROTECT, db_index=False, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    cost = models.BigIntegerField(default=0)
    revenue = models.BigIntegerField(default=0)
    country = models.CharField(max_length=2, default="")
    device = models.CharField(max_length=10, default="")
    channel = models.CharField(max_length=10, default="")
    visitor = models.CharField(max_length=64, default="")
    viewable = models.BooleanField(null=True)
    """Of an impression: whether it was seen; None: not measured."""
    attribution = models.CharField(max_length=5, default="")
    """Of a conversion: `click`, `view` or ""."""
    drop_reason = models.CharField(max_length=20, default="")

    class Meta:
        permissions = [("record_any_event", "Can record events of every campaign")]
        indexes = [
            models.Index(fields=("campaign", "occurred_at"), name="event_campaign_time"),
            models.Index(fields=("campaign", "visitor", "occurred_at"), name="event_visitor", condition=~Q(visitor="")),
        ]
        constraints = [
            models.UniqueConstraint(fields=("campaign", "event_id"), name="event_once"),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="event_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.event_id}"


class Measures(models.Model):
    """The columns named by `MEASURES`."""

    impressions = models.BigIntegerField(default=0)
    clicks = models.BigIntegerField(default=0)
    conversions = models.BigIntegerField(default=0)
    cost = models.BigIntegerField(default=0)
    revenue = models.BigIntegerField(default=0)
    measured = models.BigIntegerField(default=0)
    viewable = models.BigIntegerField(default=0)
    click_conversions = models.BigIntegerField(default=0)
    view_conversions = models.BigIntegerField(default=0)
    click_revenue = models.BigIntegerField(default=0)
    view_revenue = models.BigIntegerField(default=0)
    dropped = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class RollupHour(Measures):
    """An hour of a campaign (15 minutes where its zone is off the hour). `day` is the local day it belongs to."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, db_index=False, related_name="+")
    hour = models.DateTimeField()
    day = models.DateField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("campaign", "hour"), name="rollup_hour")]

    def __str__(self) -> str:
        return f"{self.campaign_id} {self.hour:%Y-%m-%d %H:%M}"


class RollupDimDay(Measures):
    """A local day of a campaign by one value of one dimension."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, db_index=False, related_name="+")
    dimension = models.CharField(max_length=10)
    day = models.DateField()
    value = models.CharField(max_length=20)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("campaign", "dimension", "day", "value"), name="rollup_dim_day")]

    def __str__(self) -> str:
        return f"{self.campaign_id} {self.day} {self.dimension}={self.value}"


class RollupDelta(Measures):
    """The outbox: what events add to the rollups, appended in their transaction and removed when it is added.

    `hour` is set for a row of the hours; else `dimension` and `value` are.
    """

    campaign_id = models.BigIntegerField()
    hour = models.DateTimeField(null=True)
    day = models.DateField()
    dimension = models.CharField(max_length=10, default="")
    value = models.CharField(max_length=20, default="")

    def __str__(self) -> str:
        return f"{self.campaign_id} {self.hour or self.day}"


class PanelSnapshot(models.Model):
    """The last good figures of one panel in one view of it. A failure writes beside them, never over them."""

    key = models.CharField(max_length=64, unique=True)
    campaign = models.ForeignKey(Campaign, null=True, on_delete=models.CASCADE, related_name="+")
    panel = models.CharField(max_length=20)
    view = models.JSONField(default=dict)
    """What the key was made of, so that it can be computed again."""
    payload = models.JSONField(null=True)
    payload_hash = models.CharField(max_length=64, default="")
    as_of = models.DateTimeField(null=True)
    """Everything recorded before this is in the payload."""
    computed_at = models.DateTimeField(null=True)
    duration_ms = models.PositiveIntegerField(default=0)
    last_attempt_at = models.DateTimeField(null=True)
    last_outcome = models.CharField(max_length=20, default="")
    reference = models.CharField(max_length=12, default="")
    """Of the last failure: what the reader is shown and the log has."""
    consecutive_failures = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True)
    flight = models.UUIDField(null=True)
    """Who is computing it, until `flight_until`: what comes later is not stored."""
    flight_until = models.DateTimeField(null=True)
    last_viewed_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=("last_viewed_at",), name="snapshot_viewed")]

    def __str__(self) -> str:
        return f"{self.panel} of {self.campaign_id}"


class RefreshState(models.Model):
    """How refreshing stands: of the rollups (scope `rollups`), of a campaign's figures (`campaign:7`)."""

    scope = models.CharField(max_length=40, unique=True)
    as_of = models.DateTimeField(null=True)
    succeeded_at = models.DateTimeField(null=True)
    consecutive_failures = models.PositiveIntegerField(default=0)
    alerted_at = models.DateTimeField(null=True)
    """The alert of the failures that go on; empty again once they are over."""
    alert_sent_at = models.DateTimeField(null=True)
    """The last alert ever sent of this scope: the next one waits an hour."""
    recovered_at = models.DateTimeField(null=True)
    checked_at = models.DateTimeField(null=True)
    """The last recount from raw events: of the campaign, or of all."""
    repaired = models.PositiveIntegerField(default=0)
    """Rows of the rollups that it corrected."""
    repaired_days = models.JSONField(null=True)
    """Of a campaign: the days they belong to, as text."""

    def __str__(self) -> str:
        return self.scope


class QueryStat(models.Model):
    """What the queries of one panel did in one minute, and what its readers were shown, for the service levels.

    outcome                 a query, whoever asked (reader, worker, API, drill)
    ok                      computed within its budget
    query_timeout, database_unreachable, not_a_payload, internal
                            failed, also where the reader was shown a saved copy
    fuse_open, offline      not even asked, because the database is known to be away; a failure too

    outcome                 a view: one panel of one answer to a reader
    seen_fresh, seen_empty  figures of at most 5 minutes ago (`empty`: of no activity)
    seen_refreshing, seen_stale
                            older, with or without somebody fetching newer ones
    seen_saved              the last refresh failed; not fresh, whatever its age
    seen_unavailable, seen_preparing
                            no figures

    `count` are queries or views. `attempts`, `milliseconds` (a sum) and the histogram are of queries: each is in the
    first class it fits into, over all its attempts; those that were not asked are in none. `minute` begins the minute
    the answer was given in. A process writes what it counted after some seconds, and adds to rows there are.
    """

    minute = models.DateTimeField()
    panel = models.CharField(max_length=20)
    outcome = models.CharField(max_length=20)
    count = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    milliseconds = models.PositiveBigIntegerField(default=0)
    le_50 = models.PositiveIntegerField(default=0)
    le_250 = models.PositiveIntegerField(default=0)
    le_1000 = models.PositiveIntegerField(default=0)
    le_3000 = models.PositiveIntegerField(default=0)
    le_5000 = models.PositiveIntegerField(default=0)
    more = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("minute", "panel", "outcome"), name="query_stat")]

    def __str__(self) -> str:
        return f"{self.minute:%H:%M} {self.panel} {self.outcome}"


class Delay(models.Model):
    """A spell in which a campaign's figures could not be refreshed (`delays`)."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, db_index=False, related_name="+")
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=("campaign", "began_at"), name="delay_campaign")]
        constraints = [
            models.UniqueConstraint(fields=("campaign",), condition=Q(ended_at__isnull=True), name="delay_open_once"),
        ]

    def __str__(self) -> str:
        return f"{self.campaign_id} {self.began_at:%Y-%m-%d %H:%M}"


class Drill(models.Model):
    """A rehearsed failure: until then, that panel's query fails so for everybody."""

    panel = models.CharField(max_length=20, unique=True)
    kind = models.CharField(max_length=10)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.panel}: {self.kind}"
