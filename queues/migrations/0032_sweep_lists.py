"""The sweep reads several lists, each with a cursor and counts of its own; thin events are found by their snapshot."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queues", "0041_first_due")]

    operations = [
        migrations.AddField("sweepcursor", "listing", models.CharField(db_default="v1", default="v1", max_length=210)),
        migrations.AlterField("sweepcursor", "provider", models.CharField(max_length=20)),
        migrations.AddConstraint(
            "sweepcursor", models.UniqueConstraint(fields=["provider", "listing"], name="sweepcursor_one_a_list")
        ),
        migrations.AddField("sweepday", "listing", models.CharField(db_default="v1", default="v1", max_length=210)),
        migrations.RemoveConstraint("sweepday", "sweepday_one_a_day"),
        migrations.AddConstraint(
            "sweepday",
            models.UniqueConstraint(fields=["provider", "listing", "day"], name="sweepday_one_a_list_and_day"),
        ),
        migrations.AddIndex(
            "webhookevent",
            models.Index(
                condition=~models.Q(snapshot_event=""), fields=["snapshot_event"], name="webhookevent_snapshot"
            ),
        ),
    ]
