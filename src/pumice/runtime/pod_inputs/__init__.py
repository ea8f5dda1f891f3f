"""Pods from files: Kubernetes Pods and Deployments, compose files, and App Container pod manifests."""
