"""Discovery: from the name of an image to the URLs of the image, its signature and its keys."""
