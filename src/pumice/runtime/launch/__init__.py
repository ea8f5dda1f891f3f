"""Start a container that is completely planned.

A stage 1 turns a container into a `model.Launch`: flat values, without a decision left to make. Everything
here runs one, and imports only the standard library and `pumice.runtime.sandbox`, so that
`pumice.runtime.quick` can execute a launch that an earlier ``pumice run`` planned without importing what
plans it.
"""
