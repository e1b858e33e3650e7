"""Photos and pictures.

Going in: `open` (with `formats`, `jpeg`, `depth`, `arrays`, `sizes`, `messages`) makes an upright
RGB picture of whatever a person hands over, `folders` finds photos, `preprocess` squashes one to
the square that the model sees, `augment` varies it for training, `geometry` leads back to its
pixels.

Coming out: `scale` makes colours of attention weights, `overlay` lays a map on its photo, `sheets`
and `heatmap` show a whole sentence; `blocks`, `figures` and `ink` set their type, and `drawings`
marks the files. No torch: pictures and arrays only.
"""
