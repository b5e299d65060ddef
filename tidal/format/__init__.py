"""Bytes and values, one module for each thing on disk. Nothing here opens a file or reads a clock."""
