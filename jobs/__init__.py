"""What users run: job files, the command line, sample shards."""
