"""Measurements for docs/performance.md: one module for each part of the goals, run by table.py."""
