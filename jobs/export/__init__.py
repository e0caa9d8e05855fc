"""`lodepack export`: the packs of a version in the formats of other loaders, without a loss."""
