"""The e-mail queue."""
