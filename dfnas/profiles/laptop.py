"""laptop: CIFAR-10 on two cores; no chapter over half an hour. Values were tuned here, on validation data."""

from dfnas.profiles.settings import (
    CalibrationSettings,
    DartsSettings,
    DataSettings,
    EvaluationSettings,
    EvolutionSettings,
    RunSettings,
    ScratchSettings,
    Settings,
    SpaceSettings,
    SposSettings,
    StudentSettings,
    SynthesisSettings,
    TeacherSettings,
    TrainingSettings,
)

# Targets at temperature 4 without a factor of its square give small gradients: the rate makes up for it.
STUDENT = StudentSettings(
    network="resnet20",
    training=TrainingSettings(
        batch=128, learning_rate=0.4, steps=900, averaging=0.99, resolutions=((16, 0.5), (24, 0.25))
    ),
    temperature=4.0,
)
# Forty students in a quarter of an hour: a smaller network that sees images at half the side.
SMALL_STUDENT = StudentSettings(
    network="resnet8",
    training=TrainingSettings(batch=128, learning_rate=0.2, steps=400, averaging=0.985),
    temperature=4.0,
    side=16,
)

SETTINGS = Settings(
    profile="laptop",
    chapters=("01-teacher", "02-synthesis", "03-calibration", "05-darts", "06-spos"),
    run=RunSettings(compile=True),
    data=DataSettings(name="cifar10", channels=3, classes=10, region=32, canvas=40),
    teacher=TeacherSettings(
        network="resnet20",
        shipped="cifar10-resnet20",
        training=TrainingSettings(
            batch=128,
            learning_rate=0.15,
            epochs=24,
            weight_decay=5e-4,
            averaging=0.998,
            resolutions=((16, 0.4), (24, 0.25)),
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
        validation_each=50,
        recalibration=8,
        side=16,
        scratch=ScratchSettings(
            training=TrainingSettings(batch=128, learning_rate=0.2, steps=250, averaging=0.98, decay_vectors=False),
            side=16,
        ),
    ),
)
