"""dj-stripe's WSGI application, for granian."""

from benchmarks.webhooks.peers import djstripe_project

application = djstripe_project.serve()
