"""What a trainer does with a stored reduction: small torch functions."""
