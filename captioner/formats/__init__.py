"""Captions of photos in the shapes that other tools write and want: read, written, told apart.

`registry` lists the formats; each of the others reads and writes a few that are alike. Photos are
named here and neither opened nor looked for, but for those that lie in a folder or an archive with
their captions.
"""
