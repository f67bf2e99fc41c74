"""Tasks: which logits answer, how the classes are called, and which classifiers run."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genviews.classify.model import Classifier
from genviews.classify.task import Task, attribute_tasks, task_classifiers
from genviews.types import ImageSpec

SPEC = ImageSpec(channels=1, height=4, width=4)


def classifier(*names: str) -> Classifier:
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(16, len(names))), SPEC, names)


def test_all_logits_in_their_own_words_by_default():
    task = Task(name="animals", classifier=classifier("cat", "dog", "bird"))
    assert (task.class_names, task.num_classes) == (("cat", "dog", "bird"), 3)
    logits = torch.randn(2, 5, 3)
    assert task.answer(logits) is logits


def test_a_single_logit_is_binary():
    task = Task(
        name="young",
        classifier=classifier("smile", "young"),
        outputs=("young",),
        class_names=("old", "young"),
    )
    found = task.answer(torch.tensor([[[1.0, 2.0], [3.0, -4.0]]]))
    assert torch.equal(found, torch.tensor([[[0.0, 2.0], [0.0, -4.0]]]))
    sigmoid = torch.tensor([[2.0, -4.0]]).sigmoid()
    torch.testing.assert_close(found.softmax(-1)[..., 1], sigmoid)


def test_some_logits_in_another_order():
    net = classifier("a", "b", "c", "d")
    task = Task(name="two", classifier=net, outputs=("d", "b"))
    assert task.class_names == ("d", "b")
    assert torch.equal(task.answer(torch.tensor([0.0, 1.0, 2.0, 3.0])), torch.tensor([3.0, 1.0]))


def test_an_attribute_for_each_logit():
    net = classifier("smile", "young", "glasses")
    tasks = attribute_tasks(net, ("absent", "present"))
    assert [(t.name, t.labels, t.class_names) for t in tasks] == [
        (name, name, ("absent", "present")) for name in ("smile", "young", "glasses")
    ]
    assert task_classifiers(tasks) == (net,)


def test_classifiers_come_once_each_in_order():
    one, other = classifier("a", "b"), classifier("a", "b")
    tasks = [Task(name=n, classifier=c) for n, c in (("x", one), ("y", other), ("z", one))]
    assert task_classifiers(tasks) == (one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": ("smiel",)}, "did you mean 'smile'"),
        ({"outputs": ("smile",)}, "expected 2, for 1 logit, got smile"),
        ({"class_names": ("no", "yes")}, "expected 3, for 3 logits, got no, yes"),
    ],
)
def test_misuse(options, message):
    with pytest.raises(ValueError, match=message):
        Task(name="x", classifier=classifier("smile", "young", "glasses"), **options)


def test_tasks_have_different_names():
    task = Task(name="x", classifier=classifier("a", "b"))
    with pytest.raises(ValueError, match="names of tasks: expected all different, got 'x'"):
        task_classifiers([task, task])


def test_one_of_probabilities_that_add_up_to_1_is_no_answer():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    probs = Classifier(nn.Sequential(net, nn.Softmax(1)), SPEC, ("a", "b", "c"), outputs="probs")
    with pytest.raises(ValueError, match=r'at least two of probabilities.*say outputs="sigmoids"'):
        attribute_tasks(probs)
    apart = Classifier(nn.Sequential(net, nn.Sigmoid()), SPEC, ("a", "b", "c"), outputs="sigmoids")
    images = torch.rand(2, 1, 4, 4)
    for column, task in enumerate(attribute_tasks(apart)):
        yes = task.answer(apart(images)).softmax(-1)[:, 1]
        torch.testing.assert_close(yes, net(images)[:, column].sigmoid())
