"""What stored plans of reduction ask of a model, as torch functions."""
