r"""The pictures of docs/attention.md, from the runs that `captioner study family-captions` keeps.

    python -m benchmarks.attention_pictures runs/study-family-captions -o docs/attention

One photo and one sentence for all of them, and one colour scale: a colour stands for the same
weight in every picture. What a variant does besides is drawn on its maps: windows, the position
that was drawn, a sentinel's share, heads side by side. A picture whose runs are missing is left as
it is, and said so; `--pages` puts those that are drawn where a page waits for them.

Shapes: T words, S steps (the words and the end), H heads, h×w the grid.
"""
