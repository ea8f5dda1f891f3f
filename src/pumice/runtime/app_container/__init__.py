"""The App Container executor: what the manifest of an App Container image or pod adds to a container."""
