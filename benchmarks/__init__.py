"""Side-by-side measurements, each runnable by one command (see README.md)."""
