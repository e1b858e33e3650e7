"""The task (photo, sentence) → sentence: translation with the photo in view."""
