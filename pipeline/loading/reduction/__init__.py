"""What a trainer does with a stored reduction: small functions of torch."""
