"""Decrypting OpenPGP messages of strangers.

The OpenPGP library has no limits, so it runs in a process of its own under limits of size, expansion, memory
and time. A message that was changed is noticed only at its end, so nothing is used before that.
"""
