"""What data-loss rules look for, and the text that they look into."""
