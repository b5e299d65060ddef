"""The `tidal` command: one module a command, each a function from parsed arguments to an exit code."""
