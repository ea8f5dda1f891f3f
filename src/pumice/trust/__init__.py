"""Who vouches for an image: keys, signatures, attestations, and the rules by which they count."""
