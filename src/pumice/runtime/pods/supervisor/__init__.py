"""Run one pod: a program that needs only the standard library and the folder of the sandbox.

    python3 -I -S supervisor/__main__.py OPTIONS-FD

It is the parent of the sandboxes and holds the locks of the pod's directories. It writes the output of each
program to a log, records that programs have started and how they ended, forwards signals, runs health checks,
and starts each app when those that it depends on are ready. If it is killed, the kernel kills the sandboxes,
and the free locks say that the pod has ended. `options` lists the options, which are in a memory file.

A pod may run for months, so this process must stay small: it imports neither `signal` nor `json`.
"""
