"""Faults on purpose, and the one oracle that judges what they left; shared by tests/faults and tests/soak."""
