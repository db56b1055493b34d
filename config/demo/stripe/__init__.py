"""A fake Stripe for the demo and the tests: never the real one, and never in production."""
