"""What computes a model: torch, or a graph runtime that does the same in less time.

Torch always works and is what training, explaining and tracing use. A graph runtime is given the
model once and answers for it from then on; what it cannot take, torch computes.
"""
