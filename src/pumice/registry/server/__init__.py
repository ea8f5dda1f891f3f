"""A registry server: what distribution-spec asks of one, on a directory."""
