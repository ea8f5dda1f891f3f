"""Publishing: static files with which any web server distributes images."""
