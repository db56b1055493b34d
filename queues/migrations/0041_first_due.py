"""When an item was wanted first, and the indexes by which the monitor reads one minute of it."""

import django.db.models.functions.comparison
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("queues", "0040_monitor"),
    ]

    operations = [
        migrations.AddField(
            model_name="emailmessage",
            name="first_due_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="webhookevent",
            name="first_due_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="emailmessage",
            index=models.Index(
                django.db.models.functions.comparison.Coalesce("first_due_at", "created_at"),
                name="emailmessage_first_due",
            ),
        ),
        migrations.AddIndex(
            model_name="trackingevent",
            index=models.Index(fields=["received_at"], name="trackingevent_received"),
        ),
        migrations.AddIndex(
            model_name="webhookevent",
            index=models.Index(
                django.db.models.functions.comparison.Coalesce("first_due_at", "created_at"),
                name="webhookevent_first_due",
            ),
        ),
    ]
