"""Which words of a caption name which kinds of things: COCO's categories with their usual synonyms.

The synonyms follow those by which object hallucination is counted (Rohrbach et al. 2018, "Object
Hallucination in Image Captioning", after Lu et al. 2018, "Neural Baby Talk"), short of words that
mostly mean something else in a caption. Any other kind is named by its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

Kinds = frozenset[str]

Namer = Callable[[Sequence[str]], list[tuple[int, Kinds]]]
"""From the lower-cased words of a sentence to the places of those that name something."""

# fmt: off
_COCO = {
    "person": "adult baby boy child female girl guy kid lady male man people person player rider "
              "skateboarder skier surfer woman",
    "bicycle": "bike trike",
    "car": "automobile cab coupe hatchback jeep minivan sedan suv taxi van",
    "motorcycle": "motorbike moped scooter motor_bike motor_cycle",
    "airplane": "aeroplane aircraft airliner biplane jet jetliner plane seaplane air_plane",
    "bus": "minibus",
    "train": "locomotive tram",
    "truck": "firetruck lorry pickup fire_truck",
    "boat": "barge canoe catamaran dinghy ferry kayak motorboat rowboat sailboat ship speedboat "
            "steamship tugboat vessel yacht",
    "traffic light": "stoplight stop_light traffic_signal",
    "fire hydrant": "hydrant",
    "stop sign": "",
    "parking meter": "",
    "bench": "pew",
    "bird": "crow duck duckling eagle egret flamingo goose gull hawk heron hummingbird ostrich owl "
            "parakeet parrot peacock pelican pigeon robin rooster seabird seagull sparrow swan "
            "turkey vulture",
    "cat": "kitten tabby",
    "dog": "beagle bulldog collie corgi dachshund doggy greyhound hound husky labrador poodle pug "
           "pup puppy retriever spaniel terrier",
    "horse": "colt foal mare pony stallion",
    "sheep": "ewe goat lamb ram",
    "cow": "bison buffalo bull calf cattle heifer ox",
    "elephant": "",
    "bear": "cub panda",
    "zebra": "",
    "giraffe": "",
    "backpack": "knapsack rucksack",
    "umbrella": "parasol",
    "handbag": "purse",
    "tie": "necktie bow_tie",
    "suitcase": "baggage luggage",
    "frisbee": "",
    "skis": "ski",
    "snowboard": "",
    "sports ball": "ball",
    "kite": "",
    "baseball bat": "bat",
    "baseball glove": "mitt",
    "skateboard": "",
    "surfboard": "",
    "tennis racket": "racket racquet tennis_racquet",
    "bottle": "",
    "wine glass": "wineglass",
    "cup": "mug",
    "fork": "",
    "knife": "",
    "spoon": "",
    "bowl": "",
    "banana": "",
    "apple": "",
    "sandwich": "burger cheeseburger hamburger",
    "orange": "",
    "broccoli": "",
    "carrot": "",
    "hot dog": "hotdog",
    "pizza": "",
    "donut": "bagel doughnut",
    "cake": "cheesecake cupcake",
    "chair": "armchair seat stool",
    "couch": "loveseat sofa",
    "potted plant": "houseplant",
    "bed": "",
    "dining table": "desk table",
    "toilet": "urinal",
    "tv": "monitor television",
    "laptop": "computer notebook",
    "mouse": "",
    "remote": "controller",
    "keyboard": "",
    "cell phone": "cellphone phone smartphone telephone mobile_phone",
    "microwave": "",
    "oven": "stove stovetop",
    "toaster": "",
    "sink": "",
    "refrigerator": "freezer fridge",
    "book": "",
    "clock": "",
    "vase": "",
    "scissors": "",
    "teddy bear": "teddy teddybear",
    "hair drier": "hairdryer hair_dryer",
    "toothbrush": "",
}
# Two words that name no thing of the kind that their last, or their first, does.
_OTHERWISE = (
    "ball game, banana bread, bird bath, bird house, boat dock, bus station, bus stop, car park, "
    "clock tower, computer screen, dog house, horse race, orange juice, pizza box, pool table, "
    "ski lift, ski resort, ski slope, toilet paper, toilet seat, train station, train track, "
    "train tracks, truck stop"
)
# fmt: on
SYNONYMS = {
    kind: tuple(w.replace("_", " ") for w in words.split()) for kind, words in _COCO.items()
}
"""Of each of COCO's 80 categories the other words that name it, in the singular."""

_IRREGULAR = {
    "child": "children", "man": "men", "woman": "women", "goose": "geese", "mouse": "mice",
    "ox": "oxen", "knife": "knives", "calf": "calves", "lady": "ladies", "baby": "babies",
    "puppy": "puppies", "pony": "ponies", "person": "persons",
}  # fmt: skip


def plural(noun: str) -> str:
    """The plural of a noun's last word, as English mostly makes it."""
    *before, last = noun.split(" ")
    if last in _IRREGULAR:
        made = _IRREGULAR[last]
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        made = f"{last}es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        made = f"{last[:-1]}ies"
    elif last.endswith("man"):
        made = f"{last[:-3]}men"
    else:
        made = f"{last}s"
    return " ".join([*before, made])


def namer(kinds: Iterable[str]) -> Namer:
    """A function from a sentence's words to the places that name one of the kinds.

    A kind is named by its own name, by its synonyms where it is one of COCO's, and by the plurals
    of both. Of two words that name something together ("stop sign", "hot dog") the place is that of
    the last, and neither names anything by itself ("hot dog" is no dog). What is a kind of its own
    among `kinds` ("duck" beside "bird") is named by its own name, and still by the wider one.

    Args:
        kinds: names of categories, such as those of a COCO instance file.
    """
    named: dict[tuple[str, ...], set[str]] = {}
    for kind in kinds:
        for noun in (kind.lower(), *SYNONYMS.get(kind.lower(), ())):
            for form in (noun, plural(noun)):
                named.setdefault(tuple(form.split()), set()).add(kind)
    for phrase in _OTHERWISE.split(", "):
        named.setdefault(tuple(phrase.split()), set())
    table = {words: frozenset(own) for words, own in named.items()}
    longest = max(map(len, table), default=1)

    def mentions(words: Sequence[str]) -> list[tuple[int, Kinds]]:
        found, place = [], 0
        while place < len(words):
            for count in range(min(longest, len(words) - place), 0, -1):
                own = table.get(tuple(words[place : place + count]))
                if own is not None:
                    place += count
                    if own:
                        found.append((place - 1, own))
                    break
            else:
                place += 1
        return found

    return mentions


def by_word(kinds_of: Callable[[str], Sequence[str]]) -> Namer:
    """A namer that looks at each word by itself, such as `scenes.kinds_of`."""

    def mentions(words: Sequence[str]) -> list[tuple[int, Kinds]]:
        named = ((place, frozenset(kinds_of(word))) for place, word in enumerate(words))
        return [(place, own) for place, own in named if own]

    return mentions
