"""Forward and backward of every operation on plain arrays: checks what the arguments mean, picks the backend, calls it.

One module for each family; a backward takes what its forward left and the gradient of its result.
"""
