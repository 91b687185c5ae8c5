"""The chapters of the book, a module or a folder each.

`compute(settings)` makes what a chapter shows, `plan(settings)` tells what it would cost.
"""
