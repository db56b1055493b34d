"""When Stripe's answer was there, and the index by which the monitor reads a minute of checkouts."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0001_tables"),
    ]

    operations = [
        migrations.AddField(
            model_name="striperequest",
            name="answered_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name="striperequest",
            index=models.Index(fields=["operation", "created_at"], name="striperequest_created"),
        ),
    ]
