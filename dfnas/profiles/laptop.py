"""laptop: CIFAR-10 on two cores; no chapter over half an hour. Values were tuned here, on validation data."""

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

# Targets at temperature 4 without a factor of its square give small gradients: the rate makes up for it.
STUDENT = StudentSettings(
    network="resnet20",
    training=TrainingSettings(
        batch=128, learning_rate=0.4, steps=1600, averaging=0.99, resolutions=((16, 0.5), (24, 0.25))
    ),
    temperature=4.0,
    mixing=1.0,
)
# Forty students in ten minutes: a smaller network that sees images at half the side.
SMALL_STUDENT = StudentSettings(
    network="resnet8",
    training=TrainingSettings(batch=128, learning_rate=0.2, steps=400, averaging=0.985),
    temperature=4.0,
    side=16,
)
# What the published search of the SPOS chapter found on synthetic images, under this profile.
SEARCHED = "spos:1;stem=16;stem_stride=1;widths=32,64,128;repeats=2,3,3;strides=2,2,2;tail=256;choices=01010113"

SETTINGS = Settings(
    profile="laptop",
    run=RunSettings(compile=True, processes=0),
    data=DataSettings(name="cifar10", channels=3, classes=10, region=32, canvas=40),
    teacher=TeacherSettings(
        network="resnet20",
        shipped="cifar10-resnet20",
        training=TrainingSettings(
            batch=128,
            learning_rate=0.15,
            epochs=28,
            weight_decay=5e-4,
            averaging=0.998,
            resolutions=((16, 0.25), (24, 0.25)),
        ),
    ),
    synthesis=SynthesisSettings(
        images=6000,
        batch=250,
        rounds=3,
        stages=((4, 50, "grow"), (2, 60, "grow"), (1, 20, "grow")),
        learning_rates=(0.1, 0.1, 0.1),
        batch_norm_weight=1.0,
        total_variation_l2=1e-3,
        warm_up=5,
    ),
    student=STUDENT,
    calibration=CalibrationSettings(images=2000, rounds=3, seeds=5, student=SMALL_STUDENT),
    evaluation=EvaluationSettings(
        ablation_images=250,
        verifier=TrainingSettings(batch=128, learning_rate=0.2, epochs=3, averaging=0.99, resolutions=((16, 0.6),)),
        verifier_network="resnet8",
    ),
    # Images of half the side, as many steps as the half hour gives. At the paper's rate of 3e-4 the parameters would
    # hardly leave zero in so few.
    darts=DartsSettings(
        channels=8,
        cells=3,
        side=16,
        search=TrainingSettings(
            batch=32,
            learning_rate=0.05,
            steps=500,
            nesterov=False,
            weight_decay=3e-4,
            warm_up=0.0,
            final_learning_rate=1e-3,
            clip_norm=5.0,
        ),
        order="first",
        architecture_rate=1e-2,
        scratch_channels=8,
        scratch_cells=3,
        scratch=ScratchSettings(
            training=TrainingSettings(batch=128, learning_rate=0.2, steps=250, averaging=0.98, clip_norm=5.0), side=16
        ),
    ),
    spos=SposSettings(
        space=SpaceSettings(
            stem=16, stem_stride=1, widths=(32, 64, 128), repeats=(2, 3, 3), strides=(2, 2, 2), tail=256, dropout=0.0
        ),
        search=TrainingSettings(
            batch=128, learning_rate=0.2, steps=1500, nesterov=False, schedule="linear", decay_vectors=False
        ),
        evolution=EvolutionSettings(population=40, generations=8, parents=10, mutations=20, crossovers=20),
        limit_macs=865_000,
        # Scores of fewer images differ by chance more than by architecture.
        validation_each=150,
        recalibration=8,
        side=16,
        scratch=ScratchSettings(
            training=TrainingSettings(batch=128, learning_rate=0.2, steps=600, averaging=0.98, decay_vectors=False),
            side=16,
        ),
    ),
    # Six blocks, so that each operation is trained for some hundreds of steps. At the paper's rate of 1e-3 the
    # architecture parameters would hardly leave zero in so few updates.
    proxylessnas=ProxylessSettings(
        space=MobileSpaceSettings(
            stem=16,
            stem_stride=1,
            first=8,
            widths=(16, 32, 64),
            repeats=(2, 2, 2),
            strides=(2, 2, 1),
            tail=256,
            dropout=0.0,
        ),
        warm_up=TrainingSettings(batch=64, learning_rate=0.1, steps=1600, weight_decay=4e-5, decay_vectors=False),
        search=TrainingSettings(
            batch=64, learning_rate=0.05, steps=1600, weight_decay=4e-5, warm_up=0.0, decay_vectors=False
        ),
        validation_each=50,
        updates=300,
        judged_batch=200,
        samples=8,
        architecture_rate=0.03,
        temperature=3.0,
        side=16,
        latency=LatencySettings(repeats=51, networks=24),
        scratch=ScratchSettings(
            training=TrainingSettings(batch=128, learning_rate=0.2, steps=250, averaging=0.98, decay_vectors=False),
            side=16,
        ),
    ),
    # Forty networks four times over, on images of a quarter of the side, where steps cost least.
    consistency=ConsistencySettings(
        architectures=40,
        channels=8,
        cells=3,
        side=8,
        training=TrainingSettings(batch=64, learning_rate=0.2, steps=180, averaging=0.98, clip_norm=5.0),
        held_out=0.2,
        candidates=200,
        tabular=TabularSettings(
            training=TrainingSettings(batch=64, learning_rate=0.05, steps=1500, nesterov=False, clip_norm=5.0),
            channels=8,
            cells=1,
            side=16,
        ),
    ),
    # A half, a quarter and an eighth of the full network's multiply-adds, on images of half the side.
    pruning=PruningSettings(
        network="resnet20",
        search=TrainingSettings(batch=128, learning_rate=0.2, steps=1000, resolutions=((8, 0.4),)),
        evolution=EvolutionSettings(population=14, generations=5, parents=5, mutations=7, crossovers=7, tries=100),
        windows=((5_000_000, 5_200_000), (2_500_000, 2_600_000), (1_250_000, 1_310_000)),
        genes=((14, 24), (6, 17), (1, 10)),
        training=TrainingSettings(batch=128, learning_rate=0.2, steps=550, averaging=0.98, resolutions=((8, 0.5),)),
        validation_each=100,
        recalibration=4,
        random=4,
        side=16,
        temperature=4.0,
    ),
    distillation=DistillationSettings(
        # Half of the steps of the calibration chapter's students, at a higher rate, so that they are not left behind.
        comparison=dataclasses.replace(
            SMALL_STUDENT, training=dataclasses.replace(SMALL_STUDENT.training, steps=200, learning_rate=0.8)
        ),
        sizes=(50, 250, 1000),
        narrow="resnet20x0.5",
        searched=SEARCHED,
    ),
    kernels=KernelsSettings(),
)
