"""Drafts of slice definitions, from the files of packages alone.

`path_rules` says by its path what a file is, `evidence` reads what it needs, `grouping` puts files into
slices, `requirements` finds the slices that they require, and `contents` writes few patterns for many paths.
`drafting` does all of it, and `text` writes the definition.
"""
