"""The monitor's tables: counts per minute and hour, how far they are final, alerts and incidents."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("queues", "0037_desk_indexes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Watermark",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("objective", models.CharField(max_length=60, unique=True)),
                ("until", models.DateTimeField()),
                ("counted_until", models.DateTimeField(null=True)),
                ("late_until", models.DateTimeField(null=True)),
                ("recounted_until", models.DateTimeField(null=True)),
                ("ran_at", models.DateTimeField(null=True)),
                ("words", models.TextField(blank=True, db_default="", default="")),
            ],
        ),
        migrations.CreateModel(
            name="Incident",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("capability", models.CharField(max_length=60)),
                ("title", models.CharField(max_length=200)),
                ("words", models.TextField(blank=True, default="")),
                ("published", models.BooleanField(db_default=True, default=True)),
                ("started_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("updated_at", models.DateTimeField()),
            ],
            options={
                "ordering": ("-started_at", "-id"),
                "indexes": [models.Index(fields=["-started_at", "-id"], name="incident_started")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("capability",),
                        name="incident_one_open_each",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("rule", models.CharField(max_length=60)),
                ("scope", models.CharField(blank=True, default="", max_length=100)),
                ("severity", models.CharField(choices=[("page", "Page"), ("ticket", "Ticket")], max_length=10)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("firing", "Firing"),
                            ("acknowledged", "Acknowledged"),
                            ("resolved", "Resolved"),
                        ],
                        default="pending",
                        max_length=12,
                    ),
                ),
                ("words", models.TextField(blank=True, default="")),
                ("values", models.JSONField(default=dict)),
                ("pending_at", models.DateTimeField()),
                ("firing_at", models.DateTimeField(blank=True, null=True)),
                ("acknowledged_at", models.DateTimeField(blank=True, null=True)),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
                ("evaluated_at", models.DateTimeField()),
                ("last_sent_at", models.DateTimeField(blank=True, null=True)),
                ("silenced_until", models.DateTimeField(blank=True, null=True)),
                ("silence_reason", models.CharField(blank=True, default="", max_length=500)),
                (
                    "acknowledged_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "incident",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="alerts",
                        to="queues.incident",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "permissions": [("handle_alert", "Can acknowledge and silence alerts")],
            },
        ),
        migrations.CreateModel(
            name="Silence",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("rule", models.CharField(blank=True, default="", max_length=60)),
                ("scope", models.CharField(blank=True, default="", max_length=100)),
                ("reason", models.CharField(max_length=500)),
                ("created_at", models.DateTimeField()),
                ("until", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="SloHour",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("objective", models.CharField(max_length=60)),
                ("good", models.PositiveBigIntegerField(db_default=0, default=0)),
                ("bad", models.PositiveBigIntegerField(db_default=0, default=0)),
                ("excluded", models.PositiveBigIntegerField(db_default=0, default=0)),
                ("histogram", models.JSONField(default=dict)),
                ("hour", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["hour"], name="slohour_hour")],
                "constraints": [models.UniqueConstraint(fields=("objective", "hour"), name="slohour_one_an_hour")],
            },
        ),
        migrations.CreateModel(
            name="SloMinute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("objective", models.CharField(max_length=60)),
                ("good", models.PositiveBigIntegerField(db_default=0, default=0)),
                ("bad", models.PositiveBigIntegerField(db_default=0, default=0)),
                ("excluded", models.PositiveBigIntegerField(db_default=0, default=0)),
                ("histogram", models.JSONField(default=dict)),
                ("minute", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["minute"], name="slominute_minute")],
                "constraints": [models.UniqueConstraint(fields=("objective", "minute"), name="slominute_one_a_minute")],
            },
        ),
        migrations.CreateModel(
            name="StaleMinute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("objective", models.CharField(max_length=60)),
                ("minute", models.DateTimeField()),
                ("marked_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "indexes": [models.Index(fields=["objective", "id"], name="staleminute_objective")],
            },
        ),
        migrations.CreateModel(
            name="AlertDelivery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=200, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("firing", "Firing"),
                            ("repeat", "Still firing"),
                            ("recovery", "Recovered"),
                            ("test", "Test"),
                        ],
                        max_length=10,
                    ),
                ),
                ("channel", models.CharField(choices=[("mail", "E-mail"), ("webhook", "Webhook")], max_length=10)),
                ("to", models.CharField(max_length=500)),
                ("subject", models.CharField(max_length=300)),
                ("body", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField()),
                ("tries", models.PositiveSmallIntegerField(db_default=0, default=0)),
                ("next_try_at", models.DateTimeField(blank=True, null=True)),
                ("held_until", models.DateTimeField(blank=True, null=True)),
                ("last_words", models.TextField(blank=True, db_default="", default="")),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("given_up_at", models.DateTimeField(blank=True, null=True)),
                (
                    "alert",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="queues.alert",
                    ),
                ),
            ],
            options={
                "verbose_name": "alert delivery",
                "verbose_name_plural": "alert deliveries",
                "ordering": ("-id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("next_try_at__isnull", False)),
                        fields=["next_try_at"],
                        name="alertdelivery_due",
                    ),
                    models.Index(fields=["created_at"], name="alertdelivery_created"),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["-pending_at", "-id"], name="alert_pending"),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "resolved"), _negated=True),
                fields=("rule", "scope"),
                name="alert_one_open_each",
            ),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ("pending", "firing", "acknowledged", "resolved"))),
                name="alert_known_state",
            ),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("resolved_at__isnull", False), ("state", "resolved")),
                    models.Q(models.Q(("state", "resolved"), _negated=True), ("resolved_at__isnull", True)),
                    _connector="OR",
                ),
                name="alert_resolved_at",
            ),
        ),
    ]
