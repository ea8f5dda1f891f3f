"""The metadata service: what a pod can learn about itself, and the tokens with which it proves who it is.

The service is a small program of its own, `service`, that answers for all pods of one store. It keeps no
state: a pod is registered by the file ``metadata.json`` in its directory (`records`). In each pod, a `relay`
passes connections on to the service, and says from which pod they come. What is answered is decided by pure
functions (`endpoints`); only the standard library and ``cryptography`` are imported there.
"""
