"""The data card: OUT/README.md, which people and the Hugging Face hub read."""
