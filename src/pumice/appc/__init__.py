"""The App Container format, version 0.8.11: its types, the files of images, and how dependencies combine.

Reading accepts what other tools write if its meaning is certain, with a warning for what the specification
does not allow; writing allows no warning. See ``docs/reference/appc.md``.
"""
