"""Crash states of a whole store: workloads, what must hold after each crash, and how far to look."""
