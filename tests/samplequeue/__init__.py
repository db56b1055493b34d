"""Two queues for tests of the engine: `Job`, and `LanedJob` whose items carry lanes."""
