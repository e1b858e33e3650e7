"""The task sentence → sentence: what is read, and what is said in another language."""
