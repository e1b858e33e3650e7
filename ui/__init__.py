"""The web page: a photo, its caption, and where every word looked."""

LARGEST_FILE = 20 * 2**20  # bytes, of anything that is uploaded: a photo, or captions to look at
