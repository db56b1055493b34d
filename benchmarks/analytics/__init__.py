"""What the analytics pages cost on millions of events (benchmarks/analytics/README.md)."""
