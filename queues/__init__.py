"""Knows how work is queued, retried, measured and redriven."""
