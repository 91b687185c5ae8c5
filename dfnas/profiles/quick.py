"""quick: digits on two cores, the default on a fresh machine; the whole book in minutes."""

import dataclasses

from dfnas.profiles.settings import (
    CalibrationSettings,
    ConsistencySettings,
    DartsSettings,
    DataSettings,
    DistillationSettings,
    EvaluationSettings,
    EvolutionSettings,
    KernelsSettings,
    LatencySettings,
    MobileSpaceSettings,
    ProxylessSettings,
    PruningSettings,
    RunSettings,
    ScratchSettings,
    Settings,
    SpaceSettings,
    SposSettings,
    StudentSettings,
    SynthesisSettings,
    TabularSettings,
    TeacherSettings,
    TrainingSettings,
)

STUDENT = StudentSettings(
    network="resnet8",
    training=TrainingSettings(batch=64, learning_rate=0.1, steps=240, averaging=0.97),
    temperature=2.0,
    seeds=3,
)
# What the search of the SPOS chapter found on synthetic images, under this profile.
SEARCHED = "spos:1;stem=8;stem_stride=1;widths=16,32,64;repeats=2,2,2;strides=2,2,1;tail=128;choices=303030"

SETTINGS = Settings(
    profile="quick",
    run=RunSettings(processes=0),
    # The mirror image of a digit is no digit.
    data=DataSettings(name="digits", channels=1, classes=10, region=16, canvas=20, padding="zero", flip=False),
    teacher=TeacherSettings(
        network="resnet8",
        shipped="digits-resnet8",
        training=TrainingSettings(batch=64, learning_rate=0.1, epochs=30, averaging=0.98),
    ),
    synthesis=SynthesisSettings(
        images=600,
        batch=100,
        rounds=3,
        stages=((4, 50, "grow"), (2, 50, "grow"), (1, 50, "grow")),
        learning_rates=(0.1, 0.1, 0.05),
        batch_norm_weight=5.0,
        total_variation_l2=3e-3,
        warm_up=5,
        flip="never",
    ),
    student=STUDENT,
    calibration=CalibrationSettings(
        images=200,
        rounds=3,
        seeds=5,
        # Forty trainings: fewer steps, so that the chapter takes a minute or two.
        student=dataclasses.replace(STUDENT, training=dataclasses.replace(STUDENT.training, steps=100)),
    ),
    evaluation=EvaluationSettings(
        ablation_images=100,
        verifier=TrainingSettings(batch=64, learning_rate=0.1, epochs=20, averaging=0.97),
        verifier_network="resnet5",
    ),
    darts=DartsSettings(
        channels=4,
        cells=3,
        search=TrainingSettings(
            batch=32,
            learning_rate=0.05,
            steps=40,
            nesterov=False,
            weight_decay=3e-4,
            warm_up=0.0,
            final_learning_rate=1e-3,
            clip_norm=5.0,
        ),
        order="first",
        architecture_rate=2e-2,
        scratch_channels=4,
        scratch_cells=3,
        scratch=ScratchSettings(training=TrainingSettings(batch=64, learning_rate=0.1, steps=40, averaging=0.95)),
    ),
    spos=SposSettings(
        space=SpaceSettings(stem=8, stem_stride=1, widths=(16, 32, 64), repeats=(2, 2, 2), strides=(2, 2, 1), tail=128),
        search=TrainingSettings(
            batch=64, learning_rate=0.2, steps=400, nesterov=False, schedule="linear", decay_vectors=False
        ),
        evolution=EvolutionSettings(population=20, generations=4, parents=6, mutations=10, crossovers=10),
        limit_macs=410_000,
        validation_each=10,
        recalibration=4,
        scratch=ScratchSettings(
            training=TrainingSettings(batch=64, learning_rate=0.2, steps=100, averaging=0.95, decay_vectors=False)
        ),
    ),
    proxylessnas=ProxylessSettings(
        space=MobileSpaceSettings(
            stem=8, first=8, widths=(8, 16), repeats=(2, 2), strides=(1, 2), tail=64, dropout=0.0
        ),
        warm_up=TrainingSettings(batch=32, learning_rate=0.2, steps=250, weight_decay=4e-5, decay_vectors=False),
        search=TrainingSettings(
            batch=32, learning_rate=0.1, steps=250, weight_decay=4e-5, warm_up=0.0, decay_vectors=False
        ),
        validation_each=10,
        updates=100,
        judged_batch=100,
        samples=8,
        architecture_rate=0.05,
        temperature=2.0,
        latency=LatencySettings(networks=16),
        scratch=ScratchSettings(
            training=TrainingSettings(batch=64, learning_rate=0.2, steps=100, averaging=0.95, decay_vectors=False)
        ),
    ),
    consistency=ConsistencySettings(
        architectures=8,
        channels=4,
        cells=3,
        training=TrainingSettings(batch=32, learning_rate=0.1, steps=24, averaging=0.9, clip_norm=5.0),
        held_out=0.2,
        candidates=40,
        validation_images=0,
        tabular=TabularSettings(
            training=TrainingSettings(batch=32, learning_rate=0.05, steps=100, clip_norm=5.0),
            architectures=50,
            channels=4,
            cells=1,
        ),
    ),
    pruning=PruningSettings(
        network="resnet8",
        search=TrainingSettings(batch=64, learning_rate=0.2, steps=150),
        evolution=EvolutionSettings(population=10, generations=3, parents=4, mutations=5, crossovers=5, tries=100),
        windows=((1_500_000, 1_600_000), (700_000, 760_000), (360_000, 400_000)),
        genes=((12, 25), (6, 17), (2, 11)),
        training=TrainingSettings(batch=64, learning_rate=0.2, steps=40, averaging=0.95),
        validation_each=10,
        recalibration=4,
        random=2,
        labels="online",
    ),
    distillation=DistillationSettings(
        comparison=dataclasses.replace(
            STUDENT,
            network="resnet5",
            training=dataclasses.replace(STUDENT.training, steps=60, learning_rate=0.3),
        ),
        sizes=(25, 75),
        narrow="resnet8x0.5",
        searched=SEARCHED,
    ),
    kernels=KernelsSettings(benchmarks=("kernels", "loader"), pairs=3),
)
