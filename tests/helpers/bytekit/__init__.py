"""Bytes that are wrong on purpose: flipped, lost, torn, hostile; shared by tests/faults and tests/soak."""
