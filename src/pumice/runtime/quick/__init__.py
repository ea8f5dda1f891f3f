"""Run an image again without planning it again.

``pumice run`` verifies an image and plans its container, which needs most of Pumice: 0.1 s to import alone.
It keeps the result, the *run plan*, in ``plans/`` of the store. The next ``pumice run`` with the same options
reads its command line with `command_line`, looks the plan up, checks with `circumstances` that nothing has
changed on which the plan, and the decision to trust the image, depends, checks the files of the image, and
executes the plan. Whenever one of that fails, it does nothing, and the usual way is taken.

`docs/adr/0020-run-plans.md` says why. Only the standard library, `pumice.runtime.launch` and
`pumice.runtime.sandbox` may be imported here; `pumice.runtime.plan_recording` writes the plans.
"""
