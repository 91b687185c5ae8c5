"""laptop: CIFAR-10 on two cores, over several sittings. Values were tuned here, on validation data.

What is not said here is as in quick.
"""

from dfnas.profiles import quick, settings
from dfnas.profiles.resolve import variant

# Targets at temperature 4 without a factor of its square give small gradients: the rate makes up for it.
RECIPE = {"batch": 128, "learning_rate": 0.4, "averaging": 0.99, "resolutions": ((16, 0.5), (24, 0.25))}
# A student with the teacher's network in half of its full recipe's steps, for what is compared arm by arm.
STUDENT = settings.StudentSettings(
    network="resnet20",
    training=settings.TrainingSettings(
        batch=128, learning_rate=0.4, steps=1600, averaging=0.99, resolutions=((16, 0.6), (24, 0.25))
    ),
    temperature=4.0,
)
# Of each search: on synthetic and real images by three seeds, as a claim about searches is about these; and a pool of
# random architectures that spans the costs of the finds.
JUDGED = {
    "searches": (("synthetic", 3), ("real", 3), ("real_soft", 1), ("control", 1), ("noise", 1)),
    "random": 32,
}
# Where searches are cheap: three of a source leave the mean of its finds open by more than a point.
MORE = JUDGED | {"searches": (("synthetic", 6), ("real", 6), ("real_soft", 1), ("control", 3), ("noise", 1))}
# What the first search of the SPOS chapter finds on synthetic images, under this profile.
SEARCHED = "spos:1;stem=16;stem_stride=1;widths=32,64,128;repeats=2,3,3;strides=2,2,2;tail=256;choices=10021323"

SETTINGS = variant(
    quick.SETTINGS,
    profile="laptop",
    run={"compile": True},
    data={"name": "cifar10", "channels": 3, "region": 32, "canvas": 40, "padding": "reflect", "flip": True},
    teacher={
        "network": "resnet20",
        "shipped": "cifar10-resnet20",
        "training": {
            "batch": 128,
            "learning_rate": 0.15,
            "epochs": 28,
            "averaging": 0.998,
            "resolutions": ((16, 0.25), (24, 0.25)),
        },
    },
    synthesis={
        "images": 6000,
        "batch": 250,
        "stages": ((4, 50, "grow"), (2, 60, "grow"), (1, 20, "grow")),
        "learning_rates": (0.1, 0.1, 0.1),
        "batch_norm_weight": 1.0,
        "total_variation_l2": 1e-3,
        "flip": "random",
    },
    student={"network": "resnet20", "training": {**RECIPE, "steps": 3200}, "temperature": 4.0, "mixing": 1.0},
    calibration={
        "images": 2000,
        "rounds": 10,
        "between": (1, 3),
        # The unit is the set: with two of them an interval has one degree of freedom, and decides nothing. A fourth
        # would take the chapter beyond three hours.
        "sets": 3,
        "seeds": 3,
        "hard_rate": 0.1,
        "student": STUDENT,
    },
    evaluation={
        "ablation_images": 250,
        "verifier": {"batch": 128, "learning_rate": 0.2, "epochs": 3, "averaging": 0.99, "resolutions": ((16, 0.6),)},
        "verifier_network": "resnet8",
    },
    # Images of half the side. At the paper's rate of 3e-4 the parameters would hardly leave zero in so few steps.
    darts={
        "channels": 8,
        "side": 16,
        "search": {"steps": 3000},
        "architecture_rate": 3e-3,
        "scratch_channels": 8,
        "scratch": {
            "training": {"batch": 128, "learning_rate": 0.2, "steps": 800, "averaging": 0.99, "clip_norm": 5.0},
            "side": 16,
            **JUDGED,
        },
    },
    spos={
        "space": {
            "stem": 16,
            "widths": (32, 64, 128),
            "repeats": (2, 3, 3),
            "strides": (2, 2, 2),
            "tail": 256,
            "dropout": 0.0,
        },
        "search": {"batch": 128, "steps": 10_000},
        "evolution": {"population": 40, "generations": 8, "parents": 10, "mutations": 20, "crossovers": 20},
        "limit_macs": 865_000,
        # Scores of fewer images differ by chance more than by architecture.
        "validation_each": 150,
        "recalibration": 8,
        "side": 16,
        "scratch": {"training": {"batch": 128, "steps": 1000, "averaging": 0.99}, "side": 16, **MORE},
    },
    # Six blocks, so that each operation is trained for some hundreds of steps. At the paper's rate of 1e-3 the
    # architecture parameters would hardly leave zero in so few updates.
    proxylessnas={
        "space": {
            "stem": 16,
            "stem_stride": 1,
            "widths": (16, 32, 64),
            "repeats": (2, 2, 2),
            "strides": (2, 2, 1),
            "tail": 256,
        },
        "warm_up": {"batch": 64, "learning_rate": 0.1, "steps": 5000},
        "search": {"batch": 64, "learning_rate": 0.05, "steps": 5000},
        "validation_each": 50,
        "updates": 300,
        "judged_batch": 200,
        "architecture_rate": 0.03,
        "temperature": 3.0,
        "side": 16,
        "latency": {"repeats": 51, "networks": 24},
        "scratch": {"training": {"batch": 128, "steps": 1000, "averaging": 0.99}, "side": 16, **JUDGED},
    },
    # Forty networks six times over, on images of half the side; those of real data twice, so that luck counts half.
    consistency={
        "architectures": 40,
        "trainings": 2,
        "channels": 8,
        "side": 16,
        "training": {"batch": 64, "learning_rate": 0.2, "steps": 500, "averaging": 0.98},
        "candidates": 200,
        "supernets": 2,
        "validation_images": 1000,
    },
    # Supernets of 12,000 steps: after 1,500, not even those of real images rank.
    truth={
        "training": {"batch": 128, "steps": 12_000},
        "scratch": {"batch": 128, "steps": 600, "averaging": 0.0},
        "full": {"batch": 128, "steps": 1500},
        "evolution": {"population": 25, "generations": 7, "parents": 8, "mutations": 12, "crossovers": 12},
        "darts": {"search": {"batch": 64, "learning_rate": 0.025, "steps": 1500}, "architecture_rate": 3e-3},
        "reinforce": {"updates": 50, "samples": 8},
        "scratch_architectures": 100,
        "seeds": 7,
        "channels": 8,
        "held_out": 0.1,
        "recalibration": 8,
        "side": 16,
        "temperature": 3.0,
    },
    # A half, a quarter and an eighth of the full network's multiply-adds.
    pruning={
        "network": "resnet20",
        "search": {"batch": 128, "steps": 1500, "resolutions": ((16, 0.6), (24, 0.25))},
        "evolution": {"population": 14, "generations": 5, "parents": 5, "mutations": 7, "crossovers": 7},
        "windows": ((20_000_000, 20_800_000), (10_000_000, 10_400_000), (5_000_000, 5_240_000)),
        "genes": ((14, 24), (6, 17), (1, 10)),
        "training": {**RECIPE, "steps": 2400},
        "validation_each": 100,
        "random": 4,
        "labels": "online",
        "temperature": 4.0,
        "mixing": 1.0,
    },
    distillation={"comparison": STUDENT, "sizes": (50, 250, 1000), "narrow": "resnet20x0.5", "searched": SEARCHED},
    kernels={"benchmarks": (), "pairs": 5},
    own_network={"images": 3000, "student_steps": 500, "supernet_steps": 1000, "random": 4},
)
