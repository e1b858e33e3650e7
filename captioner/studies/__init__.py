"""Comparisons: a config in, tables and figures out.

`length` scores translations by length of the source. The others train variants of one recipe, each
for the same time, and hold them against one another: `config` says what, `budget` stops the time,
`runs` trains and keeps what was found run by run, `summary` and `curves` write it down.
"""
