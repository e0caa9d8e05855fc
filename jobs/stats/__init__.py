"""`lodepack stats`: what is in a data set, source by source, and what was kept out of it."""
