"""The keeper of a pod's network: a program that releases the network when the pod has ended.

It survives ``kill -9`` of ``pumice run``, so that no interface, rule or address stays. Like the sandbox it
imports only the standard library, and it is started by path (``__main__.py``).
"""
