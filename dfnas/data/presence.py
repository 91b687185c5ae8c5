"""What there is of real images, known without decoding any: a chapter leaves out what there is nothing for.

Two questions, since a few labelled images are enough to judge by and too few to learn from.
"""

from dfnas.profiles import DataSettings


def has_train(settings: DataSettings) -> bool:
    """Whether a network can learn from real images; then it can be judged on others, too."""
    if settings.name != "folder":
        return settings.name != "none"
    from dfnas.data import folder  # imported late: it brings torch, and records come without

    return "train" in folder.own(settings)[1]


def has_test(settings: DataSettings) -> bool:
    """Whether a network can be judged on real images."""
    return settings.name != "none"


def of_ones_own(settings: DataSettings) -> bool:
    """Whether the images are the user's, if there are any: data-free stages are then the same with and without."""
    return settings.name in ("none", "folder")
