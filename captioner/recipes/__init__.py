"""Recipes: what all of them share, and how they are read. Each stands in its task's room."""
