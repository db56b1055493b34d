"""What the monitor measures besides the objectives: depths, pauses, recoveries, schedules; when an act touched an item."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("queues", "0032_sweep_lists"),
    ]

    operations = [
        migrations.AddField(
            model_name="watermark",
            name="version",
            field=models.PositiveBigIntegerField(db_default=0, default=0),
        ),
        migrations.CreateModel(
            name="PauseSpan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("queue", models.CharField(max_length=50)),
                ("kind", models.CharField(blank=True, default="", max_length=100, verbose_name="type")),
                ("began_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="QueueMinute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("queue", models.CharField(max_length=50)),
                ("minute", models.DateTimeField()),
                ("due", models.PositiveIntegerField()),
                ("waiting", models.PositiveIntegerField()),
                ("running", models.PositiveIntegerField()),
                ("dead", models.PositiveIntegerField()),
                ("oldest_seconds", models.PositiveIntegerField(default=0)),
                ("capped", models.BooleanField(default=False)),
            ],
        ),
        migrations.CreateModel(
            name="Recovery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("queue", models.CharField(max_length=50)),
                ("fingerprint", models.CharField(max_length=16)),
                ("code", models.CharField(blank=True, default="", max_length=100)),
                ("failed_at", models.DateTimeField()),
                ("recovered_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="ScheduleState",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100, unique=True)),
                ("started_at", models.DateTimeField()),
                ("stopped_at", models.DateTimeField()),
                ("succeeded", models.BooleanField()),
                ("words", models.TextField(blank=True, default="")),
                ("longest_seconds", models.FloatField(default=0)),
                ("runs", models.PositiveIntegerField(default=0)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("missed", models.PositiveIntegerField(default=0)),
                ("missed_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.AddField(
            model_name="ledgeritem",
            name="at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="slohour",
            name="paused",
            field=models.PositiveBigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="slominute",
            name="paused",
            field=models.PositiveBigIntegerField(db_default=0, default=0),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(fields=["queue", "started_at"], name="attempt_started"),
        ),
        migrations.AddIndex(
            model_name="ledgeritem",
            index=models.Index(condition=models.Q(("at__isnull", False)), fields=["at"], name="ledgeritem_at"),
        ),
        migrations.AddIndex(
            model_name="pausespan",
            index=models.Index(fields=["queue", "began_at"], name="pausespan_queue"),
        ),
        migrations.AddIndex(
            model_name="queueminute",
            index=models.Index(fields=["minute"], name="queueminute_minute"),
        ),
        migrations.AddConstraint(
            model_name="queueminute",
            constraint=models.UniqueConstraint(fields=("queue", "minute"), name="queueminute_one_a_minute"),
        ),
        migrations.AddIndex(
            model_name="recovery",
            index=models.Index(fields=["failed_at"], name="recovery_failed"),
        ),
        migrations.AddIndex(
            model_name="recovery",
            index=models.Index(fields=["queue", "fingerprint", "-failed_at"], name="recovery_group"),
        ),
        migrations.AddConstraint(
            model_name="recovery",
            constraint=models.UniqueConstraint(
                condition=models.Q(("recovered_at__isnull", True)),
                fields=("queue", "fingerprint"),
                name="recovery_one_open_each",
            ),
        ),
    ]
