"""Slimming: which files of an image its programs can reach, and a recipe that goes without the others.

The commands of an image are where it starts (`pumice.checks.reach`); what their files name leads further, and
so do the runs that were traced. `pumice.slimming.plan` turns the rest into ``exclude`` and ``without`` of
a recipe. Nothing is decided by the names of packages alone.
"""
