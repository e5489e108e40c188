"""Scanners that look on: they see all live mail, and decide nothing."""
