"""What leaves hasten and works without it."""
