"""Pods: programs with a name that run on after the command that started them; see `pod_store`."""
