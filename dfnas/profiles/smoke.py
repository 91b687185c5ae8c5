"""smoke: quick, as small as every code path allows; what the tests run. Its numbers mean nothing."""

from dfnas.profiles import quick
from dfnas.profiles.resolve import variant

FROM_SCRATCH = {"seeds": 2, "random": 2, "tolerance": 0.5}
RECALIBRATED = {
    **FROM_SCRATCH,
    "training": {"batch": 32, "learning_rate": 0.1, "steps": 10, "averaging": 0.0},
    "recalibration": 2,
}

SETTINGS = variant(
    quick.SETTINGS,
    profile="smoke",
    run={"processes": 1},
    teacher={"training": {"epochs": 4}},
    synthesis={"images": 200, "batch": 50, "rounds": 2, "stages": ((4, 10, "grow"), (2, 10, "grow"), (1, 10, "grow"))},
    student={"training": {"steps": 30}, "seeds": 2},
    calibration={"images": 100, "rounds": 2, "seeds": 2, "student": {"training": {"steps": 30}, "seeds": 2}},
    evaluation={"ablation_images": 50, "verifier": {"epochs": 4}},
    darts={
        "search": {"batch": 8, "learning_rate": 0.025, "steps": 6},
        "order": "second",
        "architecture_rate": 0.1,
        "scratch": {
            **FROM_SCRATCH,
            "training": {
                "batch": 16,
                "learning_rate": 0.05,
                "steps": 8,
                "averaging": 0.0,
                "clip_norm": 5.0,
                "cutout": 4,
            },
            "auxiliary_weight": 0.4,
            "drop_path": 0.2,
        },
    },
    spos={
        "space": {"widths": (16, 32), "repeats": (2, 2), "strides": (2, 2), "tail": 64},
        "search": {"batch": 32, "steps": 16},
        "evolution": {"population": 6, "generations": 2, "parents": 2, "mutations": 3, "crossovers": 2},
        "limit_macs": 190_000,
        "bins": (140_000, 160_000, 180_000, 200_000),
        "validation_each": 5,
        "recalibration": 2,
        "labels": "online",
        "scratch": RECALIBRATED,
    },
    proxylessnas={
        "space": {"first": 4, "strides": (2, 1), "tail": 32, "dropout": 0.1},
        "warm_up": {"learning_rate": 0.05, "steps": 8, "warm_up": 0.0, "decay_vectors": True},
        "search": {"learning_rate": 0.05, "steps": 12, "decay_vectors": True},
        "validation_each": 5,
        "updates": 10,
        "delay": 0.1,
        "judged_batch": 30,
        "samples": 4,
        "architecture_rate": 0.1,
        "labels": "online",
        "temperature": 1.0,
        "latency": {"batch": 4, "repeats": 3, "networks": 5},
        "scratch": RECALIBRATED,
    },
    consistency={
        "architectures": 4,
        "training": {"batch": 16, "learning_rate": 0.05, "steps": 6, "averaging": 0.0},
        "candidates": 12,
        "validation_images": 100,
        "resamples": 200,
    },
    truth={
        "training": {"batch": 16, "steps": 6},
        "scratch": {"batch": 16, "steps": 4},
        "full": {"batch": 32, "steps": 10},
        "evolution": {"population": 4, "generations": 1, "parents": 2, "mutations": 2, "crossovers": 1},
        "darts": {"search": {"batch": 16, "steps": 4}},
        "reinforce": {"updates": 2, "samples": 2},
        "trained": 6,
        "scratch_architectures": 3,
        "seeds": 2,
        "recalibration": 2,
        "resamples": 200,
    },
    pruning={
        "search": {"batch": 32, "learning_rate": 0.1, "steps": 10},
        "evolution": {"population": 4, "generations": 2, "parents": 2, "mutations": 2, "crossovers": 1},
        "windows": ((1_400_000, 1_700_000), (600_000, 900_000), (300_000, 480_000)),
        "training": {"batch": 32, "learning_rate": 0.1, "steps": 5, "averaging": 0.0},
        "validation_each": 5,
        "recalibration": 2,
        "seeds": 2,
        "temperature": 2.0,
    },
    distillation={
        "comparison": {"network": "resnet8", "training": {"learning_rate": 0.1, "steps": 10}, "seeds": 2, "side": 8},
        "sizes": (50,),
        "searched": "spos:1;stem=8;stem_stride=1;widths=16,32;repeats=2,2;strides=2,2;tail=64;choices=0212",
        "seeds": 2,
    },
    kernels={"benchmarks": ("kernels",), "pairs": 1},
    own_network={"images": 200, "student_steps": 20, "supernet_steps": 8, "random": 2},
)
