"""What staff changed of an item's contents, with the values before."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queues", "0021_receive_function")]

    operations = [
        migrations.CreateModel(
            name="Revision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("queue", models.CharField(max_length=50)),
                ("item_id", models.BigIntegerField()),
                ("made_at", models.DateTimeField()),
                ("actor_name", models.CharField(max_length=200)),
                ("before", models.JSONField(default=dict)),
                ("after", models.JSONField(default=dict)),
                ("entry_id", models.BigIntegerField(null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["queue", "item_id", "id"], name="revision_item")],
            },
        ),
    ]
