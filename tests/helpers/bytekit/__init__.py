"""Bytes on purpose wrong: flipped bits, lost sectors, torn tails, hostile fields; shared by tests/faults and tests/soak."""
