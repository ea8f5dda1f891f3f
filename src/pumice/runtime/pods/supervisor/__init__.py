"""Run one pod: a program that needs only the standard library and the folder of the sandbox.

    python3 -I -S supervisor/__main__.py OPTION… -- SANDBOX-ARGUMENT…

It is the parent of the sandbox and holds the lock of the pod's directory. It writes the output of the program
to the log, records that the program has started and how it ended, forwards signals, and runs health checks.
If it is killed, the kernel kills the sandbox, and the free lock says that the pod has ended.
`options.SupervisorOptions` lists the options.

A pod may run for months, so this process must stay small: it imports neither `signal` nor `json`.
"""
