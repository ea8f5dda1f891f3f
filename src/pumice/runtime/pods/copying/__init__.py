"""Copying files out of and into the container of a running pod, which may be hostile.

Paths in a container are resolved by a process of our own that has entered its mount namespace, so no link, no
mount and no race of the container leads out of it. Files pass through a pipe as a tar archive: the other side
creates them relative to open directories, and follows no link.
"""
