"""The web page: a photo, its caption, and where every word looked."""
