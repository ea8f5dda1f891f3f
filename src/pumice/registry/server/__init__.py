"""An OCI registry: distribution-spec 1.1 over exchangeable storage."""
