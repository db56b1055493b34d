"""What failed for the same cause: a fingerprint on each item, and a row for each cause."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

STATES = [("open", "Open"), ("acknowledged", "Acknowledged"), ("resolved", "Resolved"), ("ignored", "Ignored")]


class Migration(migrations.Migration):
    dependencies = [("queues", "0011_tracking_reference"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.AddField(
            model_name="emailmessage",
            name="fingerprint",
            field=models.CharField(db_default="", default="", editable=False, max_length=16),
        ),
        migrations.AddIndex(
            model_name="emailmessage",
            index=models.Index(
                condition=~Q(fingerprint=""),
                fields=["fingerprint", "dead_at", "id"],
                name="emailmessage_failing",
            ),
        ),
        migrations.CreateModel(
            name="FailureGroup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("queue", models.CharField(max_length=50)),
                ("fingerprint", models.CharField(max_length=16)),
                ("code", models.CharField(max_length=100)),
                ("words", models.TextField(blank=True, default="")),
                ("kind", models.CharField(blank=True, default="", max_length=100, verbose_name="type")),
                ("first_seen_at", models.DateTimeField()),
                ("last_seen_at", models.DateTimeField()),
                ("state", models.CharField(choices=STATES, default="open", max_length=12)),
                ("changed_at", models.DateTimeField()),
                ("ignored_until", models.DateTimeField(blank=True, null=True)),
                ("regressed_at", models.DateTimeField(blank=True, null=True)),
                ("note", models.TextField(blank=True, default="")),
                (
                    "owner",
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
                "verbose_name": "failure group",
                "ordering": ("-last_seen_at", "-id"),
                "indexes": [models.Index(fields=["-last_seen_at", "-id"], name="failuregroup_seen")],
                "constraints": [
                    models.UniqueConstraint(fields=["queue", "fingerprint"], name="failuregroup_one_a_cause")
                ],
            },
        ),
    ]
