import pytest
from tests.samplequeue.models import Job
from tests.queues.engine.test_records import through
from django.db import connection
@pytest.mark.django_db
def test_x():
    j=through(note="a\x00b"); print(repr(j.note))
    Job.objects.create(idempotency_key="z", data={"a": None})
    print(Job.objects.filter(data={"a":None}).count(), Job.objects.get(idempotency_key="z").data)
    with connection.cursor() as c:
        c.execute("select idempotency_key, data, typeof(data) from samplequeue_job"); print(c.fetchall())
