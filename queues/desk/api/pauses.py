"""`/api/v1/queues/<queue>/pause/`, `resume/` and `run/`: a queue rests, goes on, is drained at once."""

from __future__ import annotations

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from queues.desk import operations, schedule_page
from queues.desk.api import queue_forms as forms
from queues.desk.api.emails import problems
from queues.desk.api.queues import SEES, QueueView


class Pause(QueueView):
    """Nothing is handed out."""

    needs = {"POST": SEES}

    @extend_schema(
        operation_id="queue_pause",
        summary="Pause a queue, or one type of it",
        request=forms.PauseForm,
        responses={200: forms.DoneAnswer, **problems(400, 404)},
    )
    def post(self, request: Request, queue: str) -> Response:
        """Pause it."""
        said, now = self.valid(request, forms.PauseForm).validated_data, timezone.now()
        if said["resume_at"] is not None and said["resume_at"] <= now:
            raise serializers.ValidationError({"resume_at": ["It has passed."]})
        how = {"queue": queue, "kind": said["type"], "reason": said["reason"], "resume_at": said["resume_at"]}
        done = self.act(request, "pause", lambda actor: operations.pause(actor=actor, now=now, **how))
        return Response({"done": done})


class Resume(QueueView):
    """It goes on."""

    needs = {"POST": SEES}

    @extend_schema(
        operation_id="queue_resume",
        summary="Resume it",
        request=forms.ResumeForm,
        responses={200: forms.DoneAnswer, **problems(400, 404)},
    )
    def post(self, request: Request, queue: str) -> Response:
        """Resume it."""
        said = self.valid(request, forms.ResumeForm).validated_data
        how = {"queue": queue, "kind": said["type"], "reason": said["reason"], "now": timezone.now()}
        return Response({"done": self.act(request, "resume", lambda actor: operations.resume(actor=actor, **how))})


class Run(QueueView):
    """Its processor runs besides its own times."""

    needs = {"POST": SEES}

    @extend_schema(
        operation_id="queue_run",
        summary="Run the queue's schedule now",
        request=forms.ReasonForm,
        responses={200: forms.DoneAnswer, **problems(400, 404)},
    )
    def post(self, request: Request, queue: str) -> Response:
        """Run it."""
        said = self.valid(request, forms.ReasonForm).validated_data
        try:
            schedule = schedule_page.of_queue(queue)
        except LookupError as error:
            raise Http404 from error

        def run(actor: operations.Actor) -> str:
            return schedule_page.run_now(schedule_id=schedule, actor=actor, now=timezone.now(), **said)

        self.act(request, "run schedule", run)
        return Response({"done": True})
