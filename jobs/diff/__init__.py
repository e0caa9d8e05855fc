"""`lodepack diff`: what changed between two versions of an output."""
