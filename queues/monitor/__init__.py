"""Measures: statistics, service levels, alerts, metrics, health."""
