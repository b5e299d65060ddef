"""Bugs planted in what the simulator runs, to see that it sees; shared by tests/testing and tests/soak."""
