"""The monitor's tables: counts per objective and minute, and what became of alerts.

raw rows ──(every minute)──▶ SloMinute ──▶ SloHour          Watermark: up to where; StaleMinute: what to count again

Alert    pending ──▶ firing ──▶ acknowledged ──▶ resolved   one open row for each rule and scope
            └──────────┴─────────────┴──────────▶ resolved
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Counts(models.Model):
    """What was good and bad of one objective in one stretch of time, by when the work was due."""

    objective = models.CharField(max_length=60)
    good = models.PositiveBigIntegerField(default=0, db_default=0)
    bad = models.PositiveBigIntegerField(default=0, db_default=0)
    """Failed, or unfinished past its target."""
    excluded = models.PositiveBigIntegerField(default=0, db_default=0)
    """Not eligible by the objective's words; shown, never hidden."""
    paused = models.PositiveBigIntegerField(default=0, db_default=0)
    """Late because staff had paused the queue: neither good nor bad, and shown by itself."""
    histogram = models.JSONField(default=dict)
    """How long it took: {bucket: count} (see `histogram`)."""

    class Meta:
        abstract = True


class SloMinute(Counts):
    """One objective's minute."""

    minute = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["objective", "minute"], name="slominute_one_a_minute")]
        indexes = [models.Index(fields=["minute"], name="slominute_minute")]

    def __str__(self) -> str:
        return f"{self.objective} {self.minute:%Y-%m-%d %H:%M}: {self.good} good, {self.bad} bad"


class SloHour(Counts):
    """One objective's hour: the sum of its minutes."""

    hour = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["objective", "hour"], name="slohour_one_an_hour")]
        indexes = [models.Index(fields=["hour"], name="slohour_hour")]

    def __str__(self) -> str:
        return f"{self.objective} {self.hour:%Y-%m-%d %H}: {self.good} good, {self.bad} bad"


class StaleMinute(models.Model):
    """Something came late: this minute is counted again. A mark is only ever added and deleted, so none is lost."""

    objective = models.CharField(max_length=60)
    minute = models.DateTimeField()
    marked_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["objective", "id"], name="staleminute_objective")]

    def __str__(self) -> str:
        return f"{self.objective} {self.minute:%Y-%m-%d %H:%M}"


class Watermark(models.Model):
    """How far one objective's minutes are final; those after it are counted anew at every run."""

    objective = models.CharField(max_length=60, unique=True)
    until = models.DateTimeField()
    """Minutes that begin before are final, but for stale ones."""
    counted_until = models.DateTimeField(null=True)
    """Minutes that begin before have been counted at least once."""
    late_until = models.DateTimeField(null=True)
    """What came before was looked through for late rows."""
    recounted_until = models.DateTimeField(null=True)
    """Hours that begin before have been counted a second time from the rows."""
    ran_at = models.DateTimeField(null=True)
    version = models.PositiveBigIntegerField(default=0, db_default=0)
    """Grows with every run that stored something: of two at once, one does."""
    words = models.TextField(blank=True, default="", db_default="")
    """Why the last run failed; "" if it did not."""

    def __str__(self) -> str:
        return f"{self.objective} until {self.until:%Y-%m-%d %H:%M}"


class QueueMinute(models.Model):
    """How a queue stood when a minute began: a sample, which cannot be taken again later."""

    queue = models.CharField(max_length=50)
    minute = models.DateTimeField()
    due = models.PositiveIntegerField()
    """Waiting and due."""
    waiting = models.PositiveIntegerField()
    """Pending or retrying, due or not."""
    running = models.PositiveIntegerField()
    dead = models.PositiveIntegerField()
    oldest_seconds = models.PositiveIntegerField(default=0)
    """How long the oldest due item has been due; 0 if none is."""
    capped = models.BooleanField(default=False)
    """Whether a number is larger than was counted."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["queue", "minute"], name="queueminute_one_a_minute")]
        indexes = [models.Index(fields=["minute"], name="queueminute_minute")]

    def __str__(self) -> str:
        return f"{self.queue} {self.minute:%Y-%m-%d %H:%M}: {self.waiting} waiting, {self.dead} dead"


class PauseSpan(models.Model):
    """When staff had a queue (or one type of it) paused; a `Pause` itself is gone once it ended."""

    queue = models.CharField(max_length=50)
    kind = models.CharField("type", max_length=100, blank=True, default="")
    began_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    """When it ended or will end by itself; null: until somebody resumes it."""

    class Meta:
        indexes = [models.Index(fields=["queue", "began_at"], name="pausespan_queue")]

    def __str__(self) -> str:
        return f"{self.queue} {self.kind}".strip()


class Recovery(models.Model):
    """One spell of a failure group: its first failure, and when none of its items was affected any more."""

    queue = models.CharField(max_length=50)
    fingerprint = models.CharField(max_length=16)
    code = models.CharField(max_length=100, blank=True, default="")
    failed_at = models.DateTimeField()
    recovered_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["queue", "fingerprint"], condition=Q(recovered_at__isnull=True), name="recovery_one_open_each"
            )
        ]
        indexes = [
            models.Index(fields=["failed_at"], name="recovery_failed"),
            models.Index(fields=["queue", "fingerprint", "-failed_at"], name="recovery_group"),
        ]

    def __str__(self) -> str:
        return f"{self.queue} {self.fingerprint}"


class ScheduleState(models.Model):
    """How a schedule's runs went: django-q2 itself keeps only the last few tasks of all of them together."""

    name = models.CharField(max_length=100, unique=True)
    started_at = models.DateTimeField()
    stopped_at = models.DateTimeField()
    succeeded = models.BooleanField()
    words = models.TextField(blank=True, default="")
    """Why the last run failed."""
    longest_seconds = models.FloatField(default=0)
    runs = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    missed = models.PositiveIntegerField(default=0)
    """Times it should have run, and did not."""
    missed_at = models.DateTimeField(null=True)
    """When the last gap ended."""

    def __str__(self) -> str:
        return self.name


class Severity(models.TextChoices):
    """What an alert asks of people: to come at once, or to look within days."""

    PAGE = "page", "Page"
    TICKET = "ticket", "Ticket"


class Incident(models.Model):
    """The story of a page: what customers felt, from when to when, in words for them."""

    capability = models.CharField(max_length=60)
    """The public name of what suffered (`Objective.capability`): what the status page groups by."""
    title = models.CharField(max_length=200)
    words = models.TextField(blank=True, default="")
    """For customers: no private data."""
    published = models.BooleanField(default=True, db_default=True)
    """Whether the public status page tells it."""
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ("-started_at", "-id")
        indexes = [models.Index(fields=["-started_at", "-id"], name="incident_started")]
        constraints = [
            models.UniqueConstraint(
                fields=["capability"], condition=Q(ended_at__isnull=True), name="incident_one_open_each"
            )
        ]

    def __str__(self) -> str:
        return self.title


class Alert(models.Model):
    """A rule that holds for a scope, and what people made of it."""

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        """The rule holds, not yet for long enough."""
        FIRING = "firing", "Firing"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        """Somebody looks after it: no more repeats."""
        RESOLVED = "resolved", "Resolved"

    rule = models.CharField(max_length=60)
    scope = models.CharField(max_length=100, blank=True, default="")
    """What it is about: an objective, a queue, a machine; "" is the whole."""
    severity = models.CharField(max_length=10, choices=Severity)
    state = models.CharField(max_length=12, choices=State, default=State.PENDING)
    words = models.TextField(blank=True, default="")
    """What is wrong, in a sentence, as of `evaluated_at`."""
    values = models.JSONField(default=dict)
    """The figures behind the words."""
    incident = models.ForeignKey(Incident, null=True, blank=True, on_delete=models.SET_NULL, related_name="alerts")

    pending_at = models.DateTimeField()
    firing_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    resolved_at = models.DateTimeField(null=True, blank=True)
    evaluated_at = models.DateTimeField()
    last_sent_at = models.DateTimeField(null=True, blank=True)
    silenced_until = models.DateTimeField(null=True, blank=True)
    silence_reason = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "scope"], condition=~Q(state="resolved"), name="alert_one_open_each"
            ),
            models.CheckConstraint(
                condition=Q(state__in=("pending", "firing", "acknowledged", "resolved")), name="alert_known_state"
            ),
            models.CheckConstraint(
                condition=Q(state="resolved", resolved_at__isnull=False)
                | (~Q(state="resolved") & Q(resolved_at__isnull=True)),
                name="alert_resolved_at",
            ),
        ]
        indexes = [models.Index(fields=["-pending_at", "-id"], name="alert_pending")]
        permissions = [("handle_alert", "Can acknowledge and silence alerts")]

    def __str__(self) -> str:
        return f"{self.rule} {self.scope}".strip()


class Silence(models.Model):
    """Alerts of a rule (and scope) are evaluated and shown, but not sent, for a time and a reason."""

    rule = models.CharField(max_length=60, blank=True, default="")
    """"" is every rule."""
    scope = models.CharField(max_length=100, blank=True, default="")
    """"" is every scope."""
    reason = models.CharField(max_length=500)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    until = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    """Ended by hand before its time."""

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.rule or 'every rule'} {self.scope}".strip()


class AlertDelivery(models.Model):
    """One message about alerts through one channel: written with the alert's change, sent afterwards, tried again."""

    class Kind(models.TextChoices):
        FIRING = "firing", "Firing"
        REPEAT = "repeat", "Still firing"
        RECOVERY = "recovery", "Recovered"
        TEST = "test", "Test"

    class Channel(models.TextChoices):
        MAIL = "mail", "E-mail"
        WEBHOOK = "webhook", "Webhook"

    key = models.CharField(max_length=200, unique=True)
    """The same message is not written twice."""
    alert = models.ForeignKey(Alert, null=True, blank=True, on_delete=models.CASCADE, related_name="deliveries")
    """The first of its group; null: a test."""
    kind = models.CharField(max_length=10, choices=Kind)
    channel = models.CharField(max_length=10, choices=Channel)
    to = models.CharField(max_length=500)
    """An address, or the webhook's host; never its secret path."""
    subject = models.CharField(max_length=300)
    body = models.JSONField(default=dict)
    """What is said, before the channel gives it its form."""
    created_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0, db_default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    """Null once it was sent or given up."""
    held_until = models.DateTimeField(null=True, blank=True)
    """Somebody is sending it."""
    last_words = models.TextField(blank=True, default="", db_default="")
    """What the other side said to the last try."""
    sent_at = models.DateTimeField(null=True, blank=True)
    given_up_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "alert delivery"
        verbose_name_plural = "alert deliveries"
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["next_try_at"], condition=Q(next_try_at__isnull=False), name="alertdelivery_due"),
            models.Index(fields=["created_at"], name="alertdelivery_created"),
        ]

    def __str__(self) -> str:
        return self.subject
