"""Measures the product's own paths against plain contenders, in the same run and on the same machine."""
