"""Forward and backward of every operation on NumPy and CuPy arrays: checks what the arguments mean, calls the backend.

One module for each family; a backward takes what its forward left and the gradient of its result. `pylayers.ops` opens
them to arrays of any library.
"""
