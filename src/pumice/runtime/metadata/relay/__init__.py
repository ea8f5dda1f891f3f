"""The relay of a pod: a program that passes connections of the pod on to the metadata service.

The supervisor of the pod starts it, and starts it again if it ends. It shares the pod's listening sockets
with the supervisor, and tells the service from which pod a connection comes, so that the token of another pod
is of no use. It starts the service if that does not run.
Like the sandbox it imports only the standard library, and it is started by path (``__main__.py``).
"""
