"""When a push was wanted first, and the index by which the monitor reads one minute of it."""

import django.db.models.functions.comparison
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0001_tables"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="pushdelivery",
            name="first_due_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="pushdelivery",
            index=models.Index(
                django.db.models.functions.comparison.Coalesce("first_due_at", "created_at"),
                name="pushdelivery_first_due",
            ),
        ),
    ]
