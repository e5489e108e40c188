"""Generators of hostile and of ordinary files; tests are named after what is generated."""
