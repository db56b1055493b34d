"""The flows use the e-mail tests' SMTP server."""

from tests.queues.email.conftest import sink, sink_process

__all__ = ["sink", "sink_process"]
