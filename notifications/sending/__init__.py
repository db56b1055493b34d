"""Sending: whom a push may reach and when, one attempt at it, and what the answer does to device and lane."""
