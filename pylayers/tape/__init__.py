"""The tape: Tensors, the records of what made them, and the way back through these. `pylayers.autograd` is its face."""
