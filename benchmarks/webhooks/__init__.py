"""The webhook queue's receipt and drain beside dj-stripe and the raw floor: `python -m benchmarks.webhooks`."""
