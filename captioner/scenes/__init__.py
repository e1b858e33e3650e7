"""A world that the project draws itself: flat pictures with captions, boxes and exact masks.

Every scene is one to three things before a background, drawn from polygons with Pillow at several
times its size and reduced; its five captions are read off what was drawn, so they are true, and
its masks are the pixels that the drawing covered, so a map can be judged against them. The idea of
drawn shapes with generated sentences is that of ShapeWorld (Kuhnle and Copestake, 2017) and CLEVR
(Johnson et al., 2017); the files follow the COCO formats (Lin et al., 2014).

The same seed, index and size give the same scene, however many others are drawn:

    scene = scenes.draw(seed=1, index=7)
    scene.picture.show()
    print(scene.captions[0], scene.things[0].kind, scene.things[0].mask.sum())

    scenes.write("runs/scenes", train=2000, val=200)
"""

from __future__ import annotations

from captioner.scenes.colours import COLOURS
from captioner.scenes.files import ROOM, Split, run_lengths, write
from captioner.scenes.kinds import KINDS
from captioner.scenes.places import BACKGROUNDS
from captioner.scenes.sentences import NOUNS, kinds_of
from captioner.scenes.world import LARGEST, SMALLEST, Scene, Thing, draw

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "KINDS",
    "LARGEST",
    "NOUNS",
    "ROOM",
    "SMALLEST",
    "Scene",
    "Split",
    "Thing",
    "draw",
    "kinds_of",
    "run_lengths",
    "write",
]
