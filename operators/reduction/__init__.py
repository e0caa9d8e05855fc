"""Fewer visual tokens, by name: what each method leaves out, merges, pools or drops on the way, as plans."""
