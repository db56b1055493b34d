"""Wires the rooms together: settings, URLs, schedules, the web entry points, `manage.py up`."""
