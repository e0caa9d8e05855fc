"""`lodepack plan`: what a run would do, and what it would cost, from a sample of its shards; nothing is written."""
