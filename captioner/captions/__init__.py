"""The task photo → sentence: what is asked about a photo, and what is found."""
