"""Convolutions in three directions."""
