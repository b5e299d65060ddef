"""A leader and two followers on one machine, over a broker of their own: what `tidal demo --cluster` runs."""
