"""A small bank with three classic mistakes of threaded code, and the same three parts corrected."""
