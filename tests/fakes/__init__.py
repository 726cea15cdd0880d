"""What stands in for the world in unit tests: a clock held in the hand, an engine in memory."""
