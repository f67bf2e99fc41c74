"""A task: one question about every image, with the classifier that answers it.

    image, views -> classifier -> logits (..., Y) -> the task's own logits -> weigh -> answer

A data set may have many columns of labels, and a network may answer many questions at once: forty
face attributes are forty tasks of one network with forty logits. Tasks that share a classifier
share its forward pass, and all tasks share the views, which are rendered once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.checks import check_different, fail, lookup
from genviews.classify.model import Classifier
from genviews.signature import checked

__all__ = ["Task", "attribute_tasks", "task_classifiers"]


@checked
@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A column of labels and the classifier, or the head of one, that answers it.

    Args:
        name: of the task, e.g. "images" for a classifier trained on images, or "Smiling".
        classifier: gives the logits; several tasks may share one, and it then runs once.
        labels: name of the column of labels that says which answers are right.
        outputs: names of the classifier's logits that are this task's, in the order of its classes;
            () takes all. A single one is a binary logit l: it becomes the logits (0, l).
        class_names: Y names of the answers; () takes the names of the outputs.
        about: of its classifier in titles, "classifier trained on images"; "" takes the name.

    Raises:
        ValueError: an output that the classifier does not have, or not a name for each class.

    Source: Chai et al. 2021, section 4.1: one binary classifier for each of 40 face attributes.

    Example:
        >>> from genviews.types import ImageSpec
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
        >>> spec = ImageSpec(channels=1, height=8, width=8)
        >>> faces = Classifier(network, spec, ("Smiling", "Young", "Eyeglasses"))
        >>> smile = Task(name="smile", classifier=faces, labels="Smiling", outputs=("Smiling",),
        ...              class_names=("no", "yes"))
        >>> smile.answer(torch.tensor([[3.0, 1.0, 2.0]]))
        tensor([[0., 3.]])
    """

    name: str
    classifier: Classifier
    labels: str = "label"
    outputs: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    about: str = field(default="", metadata={"identity": False})

    def __post_init__(self) -> None:
        known = dict.fromkeys(self.classifier.class_names)
        for output in self.outputs:
            lookup(output, known, f"logits for task {self.name!r}")
        if len(self.outputs) == 1 and self.classifier.settings.outputs == "probs":
            fail(
                f"outputs of task {self.name!r}",
                expected="at least two of probabilities that add up to 1 over all outputs",
                got="one",
                remedy='where each output is a probability of its own, say outputs="sigmoids"',
            )
        if not self.class_names:
            # Set here, so that the names are known wherever the task goes.
            names = self.outputs or self.classifier.class_names
            object.__setattr__(self, "class_names", tuple(names))
        count = len(self.outputs or self.classifier.class_names)
        if len(self.class_names) != max(count, 2):
            fail(
                f"class names of task {self.name!r}",
                expected=f"{max(count, 2)}, for {count} logit{'s' * (count > 1)}",
                got=", ".join(self.class_names),
                remedy="name the classes in the order of the logits; a single logit has two: "
                "('no', 'yes')",
            )

    @property
    def title(self) -> str:
        """What it is called in titles."""
        return self.about or self.name

    @property
    def num_classes(self) -> int:
        """Y."""
        return len(self.class_names)

    @checked
    def answer(self, logits: Float[Tensor, "*batch O"]) -> Float[Tensor, "*batch Y"]:
        """This task's logits among those of its classifier."""
        if not self.outputs:
            return logits
        names = self.classifier.class_names
        own = logits[..., [names.index(output) for output in self.outputs]]
        return torch.cat([torch.zeros_like(own), own], -1) if len(self.outputs) == 1 else own


@checked
def attribute_tasks(
    classifier: Classifier, class_names: tuple[str, str] = ("no", "yes")
) -> tuple[Task, ...]:
    """A binary task for each logit of a network; its name is also that of its column of labels.

    Args:
        classifier: one logit an attribute, named by `class_names`; the sigmoid of a logit is the
            probability that the attribute is present.
        class_names: what 0 and 1 in a column of labels mean.
    """
    return tuple(
        Task(
            name=name, classifier=classifier, labels=name, outputs=(name,), class_names=class_names
        )
        for name in classifier.class_names
    )


@checked
def task_classifiers(tasks: Sequence[Task]) -> tuple[Classifier, ...]:
    """The classifiers of some tasks, each once, in the order in which they come.

    Raises:
        ValueError: no task, or two of one name.
    """
    if not tasks:
        fail(
            "tasks",
            expected="at least one",
            got="none",
            remedy="e.g. [Task(name='images', classifier=classifier)]",
        )
    check_different([task.name for task in tasks], "names of tasks", "rename one")
    return tuple({id(task.classifier): task.classifier for task in tasks}.values())
