"""Data-free neural architecture search: the package under the book."""

__version__ = "0.1.0"
