"""What runs inside the servers that are measured: Redrive's settings, the raw floor, dj-stripe's project."""
