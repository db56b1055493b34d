"""The tests mirror the code; `flows` has one file for each flow of the design."""
