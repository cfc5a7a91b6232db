"""Measures and judges contenders of any family; knows none of them."""
