"""A net under a rebuild: what the code says and shows, kept, and compared with what it was.

    python -m benchmarks.net keep before.net --photos photos/ --sentences en=val.en fr=val.fr
    python -m benchmarks.net keep after.net --photos photos/ --sentences en=val.en fr=val.fr
    python -m benchmarks.net compare before.net after.net

`keep` looks at the captioner that its Python imports, or, with `--python`, at that of another
environment: another commit, checked out and installed there, which need not hold this script. It
uses what users use: the names of `captioner`, the command line, the page's endpoints; the one
exception is `reach`. `compare` exits with 1 where something is lost or differs beyond tolerances.
`pace` times two environments by turns.
"""
