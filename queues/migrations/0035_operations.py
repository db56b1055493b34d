"""Operations: acts of staff on many items, and the portions they are carried out in."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("queues", "0030_failure_groups"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Operation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("act", models.CharField(max_length=50)),
                ("queue", models.CharField(max_length=50)),
                ("words", models.TextField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("prepared", "Prepared"),
                            ("running", "Running"),
                            ("finished", "Finished"),
                            ("halted", "Halted itself"),
                            ("aborted", "Aborted"),
                        ],
                        default="prepared",
                        max_length=10,
                    ),
                ),
                ("actor_name", models.CharField(max_length=200, verbose_name="who")),
                ("request_id", models.CharField(blank=True, default="", max_length=100)),
                ("reason", models.TextField(blank=True, default="")),
                ("planned", models.PositiveIntegerField(default=0)),
                ("done", models.PositiveIntegerField(default=0)),
                ("missed", models.PositiveIntegerField(default=0)),
                ("left", models.JSONField(default=dict)),
                ("given", models.JSONField(default=dict)),
                ("uncertain", models.PositiveIntegerField(default=0)),
                ("more", models.BooleanField(default=False)),
                ("pace", models.PositiveIntegerField(default=60)),
                ("canary", models.BooleanField(default=False)),
                ("watched", models.JSONField(default=list)),
                ("heard", models.CharField(blank=True, default="", max_length=200)),
                ("why", models.TextField(blank=True, default="")),
                ("prepared_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("next_at", models.DateTimeField(blank=True, null=True)),
                ("held_until", models.DateTimeField(blank=True, null=True)),
                (
                    "actor",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "entry",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="queues.ledgerentry",
                    ),
                ),
                (
                    "undoes",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="undone_by",
                        to="queues.operation",
                    ),
                ),
            ],
            options={
                "verbose_name": "operation",
                "verbose_name_plural": "operations",
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="Portion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("items", models.JSONField(default=list)),
                ("handled", models.PositiveSmallIntegerField(default=0)),
                ("before", models.JSONField(default=dict)),
                ("given", models.JSONField(default=dict)),
                ("open", models.BooleanField(default=True)),
                (
                    "operation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="portions", to="queues.operation"
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(condition=models.Q(("state", "running")), fields=["next_at"], name="operation_running"),
        ),
        migrations.AddIndex(
            model_name="portion",
            index=models.Index(condition=models.Q(("open", True)), fields=["operation", "number"], name="portion_open"),
        ),
        migrations.AddConstraint(
            model_name="portion",
            constraint=models.UniqueConstraint(fields=("operation", "number"), name="portion_one_a_number"),
        ),
    ]
