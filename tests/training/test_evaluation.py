"""What a network answers, and how often it is right: on a source, of a teacher."""

import torch
from torch import nn

from dfnas import profiles
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.training import evaluation

RUN = profiles.RunSettings(device="cpu", precision="fp32")


class Bright(nn.Module):
    """Says 1 where the normalised image is above zero on average, else 0; knows how many it was shown at once."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def forward(self, x):
        self.shown.append((len(x), self.training, torch.is_grad_enabled()))
        mean = x.mean((1, 2, 3))
        return torch.stack([-mean, mean], 1)


def source(greys, classes, targets=None):
    images = torch.tensor(greys).byte().view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    classes = torch.tensor(classes)
    return Source(images, classes if targets is None else torch.tensor(targets), classes, (0.5,), (0.25,))


def test_logits_are_those_of_the_images_under_their_normalisation_in_their_order():
    network = Bright().train()
    logits = evaluation.predict(network, source([0, 255, 51, 204, 102], [0] * 5), RUN, batch=2)
    assert torch.allclose(logits[:, 1], torch.tensor([-2.0, 2.0, -1.2, 1.2, -0.4]), atol=1e-5)
    assert network.shown == [(2, False, False), (2, False, False), (1, False, False)]


def test_a_teacher_answers_under_its_own_normalisation():
    images = source([51, 204], [0, 0]).images
    for mean, expected in ((0.1, [0.4, 2.8]), (0.9, [-2.8, -0.4])):
        teacher = Teacher(Bright(), (mean,), (0.25,), ("dark", "bright"), "", {})
        logits = evaluation.answers(teacher, images, RUN)
        assert torch.allclose(logits[:, 1], torch.tensor(expected), atol=1e-5)
        assert logits.dtype == torch.float32


def test_accuracy_counts_the_largest_logit():
    assert evaluation.accuracy(torch.eye(4), torch.tensor([0, 1, 0, 0])) == 0.5


def test_accuracy_is_against_classes_and_against_labels_soft_or_hard():
    for targets, against_labels in (([[0.0, 9], [9, 0]], 0.0), ([[9.0, 0], [0, 9]], 1.0), ([1, 1], 0.5), (None, 0.5)):
        shown = source([10, 200], [0, 0], targets)
        assert evaluation.accuracy_on(Bright(), shown, RUN) == (0.5, against_labels)
