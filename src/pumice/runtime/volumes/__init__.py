"""Named volumes: directories of the store that pods mount, and that no collection removes."""
