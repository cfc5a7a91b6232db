"""Results of torch, kept in the repository, and what they are results of."""
