"""The webhook queue: events, which handlers ran for them, the sweep's cursor, and counts of deliveries."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("queues", "0035_operations"),
    ]

    operations = [
        migrations.CreateModel(
            name="SweepCursor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=20, unique=True)),
                ("event_id", models.CharField(max_length=200)),
                ("occurred_at", models.DateTimeField()),
                ("swept_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="HandlerRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=20)),
                ("event_id", models.CharField(max_length=200)),
                ("handler", models.CharField(max_length=100)),
                ("version", models.PositiveIntegerField()),
                ("item_id", models.BigIntegerField()),
                ("lane", models.CharField(db_default="", default="", max_length=255)),
                ("state_at", models.DateTimeField()),
                ("ran_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "indexes": [
                    models.Index(fields=["lane", "-state_at"], name="handlerrun_lane"),
                    models.Index(fields=["item_id"], name="handlerrun_item"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("provider", "event_id", "handler"), name="handlerrun_one_an_event")
                ],
            },
        ),
        migrations.CreateModel(
            name="ReceiptCount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=20)),
                ("hour", models.DateTimeField()),
                ("outcome", models.CharField(max_length=30)),
                ("count", models.PositiveIntegerField(default=0)),
                ("worst_skew_seconds", models.IntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("provider", "hour", "outcome"), name="receiptcount_one_an_hour")
                ],
            },
        ),
        migrations.CreateModel(
            name="SweepDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=20)),
                ("day", models.DateField()),
                ("listed", models.PositiveIntegerField(default=0)),
                ("missing", models.PositiveIntegerField(default=0)),
                ("unreadable", models.PositiveIntegerField(default=0)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("provider", "day"), name="sweepday_one_a_day")],
            },
        ),
        migrations.CreateModel(
            name="WebhookEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("retrying", "Retrying"),
                            ("processing", "Processing"),
                            ("succeeded", "Succeeded"),
                            ("cancelled", "Cancelled"),
                            ("dead_letter", "Dead letter"),
                        ],
                        db_default="pending",
                        default="pending",
                        max_length=12,
                    ),
                ),
                ("kind", models.CharField(blank=True, db_default="", default="", max_length=100, verbose_name="type")),
                (
                    "priority",
                    models.SmallIntegerField(
                        choices=[(0, "Urgent"), (1, "High"), (2, "Normal"), (3, "Low")], db_default=2, default=2
                    ),
                ),
                ("idempotency_key", models.CharField(max_length=255)),
                ("content_hash", models.CharField(db_default="", default="", editable=False, max_length=64)),
                ("lane", models.CharField(blank=True, max_length=255, null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("due_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("attempts", models.PositiveSmallIntegerField(db_default=0, default=0)),
                ("runs", models.PositiveIntegerField(db_default=0, default=0)),
                ("max_retries", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("version", models.PositiveIntegerField(db_default=0, default=0)),
                ("lease_token", models.UUIDField(editable=False, null=True)),
                ("leased_until", models.DateTimeField(editable=False, null=True)),
                ("leased_by", models.CharField(db_default="", default="", editable=False, max_length=100)),
                ("waits_for", models.CharField(db_default="", default="", editable=False, max_length=100)),
                ("uncertain_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("last_code", models.CharField(db_default="", default="", editable=False, max_length=100)),
                ("last_words", models.TextField(db_default="", default="", editable=False)),
                ("fingerprint", models.CharField(db_default="", default="", editable=False, max_length=16)),
                ("succeeded_at", models.DateTimeField(editable=False, null=True)),
                ("cancelled_at", models.DateTimeField(editable=False, null=True)),
                ("dead_at", models.DateTimeField(editable=False, null=True)),
                ("hidden_at", models.DateTimeField(editable=False, null=True)),
                ("provider", models.CharField(db_default="stripe", default="stripe", max_length=20)),
                ("event_id", models.CharField(max_length=200, verbose_name="event id")),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("received", "Received"),
                            ("swept", "Found by the sweep"),
                            ("made", "Made for an event that was never generated"),
                        ],
                        db_default="received",
                        default="received",
                        max_length=10,
                    ),
                ),
                ("payload", models.BinaryField(db_default=b"", default=b"")),
                ("payload_removed_at", models.DateTimeField(blank=True, null=True)),
                ("occurred_at", models.DateTimeField()),
                ("api_version", models.CharField(db_default="", default="", max_length=50)),
                ("livemode", models.BooleanField(db_default=False, default=False)),
                ("account", models.CharField(db_default="", default="", max_length=200)),
                ("object_id", models.CharField(db_default="", default="", max_length=200, verbose_name="object id")),
                ("thin", models.BooleanField(db_default=False, default=False)),
                ("snapshot_event", models.CharField(db_default="", default="", max_length=200)),
                ("signed_at", models.DateTimeField(null=True)),
                ("signed_with", models.CharField(db_default="", default="", max_length=8)),
            ],
            options={
                "verbose_name": "webhook",
                "ordering": ("-id",),
                "abstract": False,
                "indexes": [
                    models.Index(
                        models.F("priority"),
                        models.F("due_at"),
                        models.F("id"),
                        condition=models.Q(("status__in", ("pending", "retrying"))),
                        name="webhookevent_due",
                    ),
                    models.Index(
                        condition=models.Q(("status", "processing")),
                        fields=["leased_until"],
                        name="webhookevent_leased",
                    ),
                    models.Index(
                        condition=models.Q(("expires_at__isnull", False), ("status__in", ("pending", "retrying"))),
                        fields=["expires_at"],
                        name="webhookevent_expiring",
                    ),
                    models.Index(
                        models.F("lane"),
                        models.F("priority"),
                        models.F("due_at"),
                        models.F("id"),
                        condition=models.Q(("lane__isnull", False), ("status__in", ("pending", "retrying"))),
                        name="webhookevent_lane_due",
                    ),
                    models.Index(
                        models.OrderBy(models.F("dead_at"), descending=True),
                        condition=models.Q(("status", "dead_letter")),
                        name="webhookevent_dead",
                    ),
                    models.Index(
                        condition=models.Q(("fingerprint", ""), _negated=True),
                        fields=["fingerprint", "dead_at", "id"],
                        name="webhookevent_failing",
                    ),
                    models.Index(
                        condition=models.Q(("object_id", ""), _negated=True),
                        fields=["object_id", "-id"],
                        name="webhookevent_object",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("idempotency_key",), name="webhookevent_one_row_a_key"),
                    models.UniqueConstraint(
                        condition=models.Q(("lane__isnull", False), ("status", "processing")),
                        fields=("lane",),
                        name="webhookevent_one_running_a_lane",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "status__in",
                                ["pending", "retrying", "processing", "succeeded", "cancelled", "dead_letter"],
                            )
                        ),
                        name="webhookevent_known_status",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("priority__in", [0, 1, 2, 3])), name="webhookevent_known_priority"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("lease_token__isnull", False),
                                ("leased_until__isnull", False),
                                ("status", "processing"),
                            ),
                            models.Q(
                                models.Q(("status", "processing"), _negated=True),
                                ("lease_token__isnull", True),
                                ("leased_until__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="webhookevent_lease_while_processing",
                    ),
                ],
            },
        ),
    ]
