"""The bundled data set and what `tidal demo` makes of it: event columns, a replay, a page."""
