"""What is done to data, one verb a file. Operators know neither Ray nor storage."""
