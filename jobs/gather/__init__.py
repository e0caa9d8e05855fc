"""`lodepack gather`: documents whose pictures lie in a folder become strict WebDataset shards, once."""
