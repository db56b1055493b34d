"""Redrive's e-mail queue beside django-mailer, django-post_office and what the machine allows at all (the floors)."""
