"""What a provider calls the mail an event is about, so that an event that came too early finds its mail later."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("queues", "0010_api_token")]

    operations = [
        migrations.AddField(
            model_name="trackingevent",
            name="reference",
            field=models.CharField(blank=True, db_default="", default="", max_length=255),
        ),
        migrations.AddIndex(
            model_name="trackingevent",
            index=models.Index(fields=["received_at"], condition=Q(message__isnull=True), name="trackingevent_orphan"),
        ),
    ]
