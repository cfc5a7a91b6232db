"""Differentiable functions, one module for each family; `pylayers` and `pylayers.nn.functional` gather them."""
