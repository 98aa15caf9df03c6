"""Fast, exact evaluation of many weight vectors."""
