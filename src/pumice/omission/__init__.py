"""Omission: the packages that only package scripts use, and that an image leaves out.

Package scripts do not run, so nothing in a container can call the tools that they call. A table
(`pumice.omission.tables`) lists such tools, and the lock records which rows apply to its packages. A
package that is reached only through these rows is left out, unless a file of the image uses it
(`pumice.omission.uses`); `pumice.omission.decision` decides by these facts alone.
"""
