"""Pictures as ids of a codebook: how they are cut and coded, and how their ids stand in a sequence."""
