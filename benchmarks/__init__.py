"""Benchmarks of pylayers; in an installation they are `pylayers.benchmarks`."""
