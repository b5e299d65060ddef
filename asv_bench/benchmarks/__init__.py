"""Benchmarks of tidal, one file per hot part. The data is in common.py."""
