"""The webhook queue."""
