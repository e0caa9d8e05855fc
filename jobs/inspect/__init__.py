"""What `lodepack inspect` shows: packs, the fate of one sample, the plan of one image."""
