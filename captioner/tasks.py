"""The tasks: what a recipe or a checkpoint may be for.

A task is one object: its name, the class of its recipes, and how to begin, train and open what is
learned. Whatever depends on the task asks it; a new one is a room of its own and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from captioner.captions.task import Captioning
from captioner.multimodal.task import Seeing
from captioner.translations.task import Translating

if TYPE_CHECKING:
    from captioner.training.run import Task

CAPTION, TRANSLATE, MULTIMODAL = Captioning.name, Translating.name, Seeing.name
# The first one is meant where a recipe names none.
TASKS: Mapping[str, Task[Any, Any]] = {
    task.name: task for task in (Captioning(), Translating(), Seeing())
}


def of(recipe: Any) -> Task[Any, Any]:
    """The task that a recipe is for."""
    return TASKS[recipe.task]
