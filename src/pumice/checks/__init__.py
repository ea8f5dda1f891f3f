"""Checks: whether the programs of an image can start, judged from its tree without running anything.

Every check looks only at what the image's command reaches (`pumice.checks.reach`), or at what its config
names. `pumice.checks.image_check` lists them; each is a function from the image to findings.
"""
