"""`lodepack prune`: removes what no kept version of an output refers to."""
