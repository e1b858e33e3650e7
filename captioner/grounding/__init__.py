"""Do the maps mean anything? One question a module, each answered in numbers with intervals.

`synonyms`, `regions` and `sentences` say what is asked about; `pointing` whether maps lie on what a
word names; `explanations` and `faithfulness` whether a word hangs on what its map shows; `controls`
what is left without the photo, or with another's maps; `inventions` whether maps tell a made-up
thing; `carried` whether a translated word points where its original does.

Shapes: B photos, K sentences of all photos together, T words, M words that are asked about, h×w
the grid of N cells.
"""
