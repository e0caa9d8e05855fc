"""What a trainer does with the plans of reduction in a pack: small functions of torch, one file a kind of plan."""
