"""Makes, keeps and says what a GPU has shown of the kernels; works in a checkout only, whose sources it speaks of."""
