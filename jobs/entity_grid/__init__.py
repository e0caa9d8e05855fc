"""`lodepack entity-grid`: pictures that slices cut in known places, and questions about what is on them."""
