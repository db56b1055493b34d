"""Raw events may be removed; what the nightly recount put right is said by campaign; spells of delay are kept."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("analytics", "0001_tables")]

    operations = [
        migrations.AddField(
            model_name="campaign",
            name="raw_from",
            field=models.DateField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="refreshstate",
            name="repaired_days",
            field=models.JSONField(null=True),
        ),
        migrations.CreateModel(
            name="Delay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("began_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "campaign",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="analytics.campaign",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["campaign", "began_at"], name="delay_campaign")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)), fields=("campaign",), name="delay_open_once"
                    )
                ],
            },
        ),
    ]
