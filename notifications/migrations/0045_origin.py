"""Which request enqueued a push, and its trace."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("notifications", "0040_first_due")]

    operations = [
        # Nullable and without a default: added at once, however large the table is.
        migrations.AddField("pushdelivery", "origin", models.CharField(editable=False, max_length=130, null=True)),
    ]
