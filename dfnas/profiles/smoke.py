"""smoke: digits, as small as every code path allows; what the tests run. Its numbers mean nothing."""

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

STUDENT = StudentSettings(
    network="resnet8",
    training=TrainingSettings(batch=64, learning_rate=0.1, steps=30, averaging=0.97),
    temperature=2.0,
    seeds=2,
)

SETTINGS = Settings(
    profile="smoke",
    chapters=("01-teacher", "02-synthesis", "03-calibration", "05-darts", "06-spos"),
    run=RunSettings(),
    # The mirror image of a digit is no digit.
    data=DataSettings(name="digits", channels=1, classes=10, region=16, canvas=20, padding="zero", flip=False),
    teacher=TeacherSettings(
        network="resnet8",
        shipped="digits-resnet8",
        training=TrainingSettings(batch=64, learning_rate=0.1, epochs=4, averaging=0.98),
    ),
    synthesis=SynthesisSettings(
        images=200,
        batch=50,
        rounds=2,
        stages=((4, 10, "grow"), (2, 10, "grow"), (1, 10, "grow")),
        learning_rates=(0.1, 0.1, 0.05),
        batch_norm_weight=5.0,
        total_variation_l2=3e-3,
        warm_up=5,
        flip="never",
    ),
    student=STUDENT,
    calibration=CalibrationSettings(images=100, rounds=2, seeds=2, student=STUDENT),
    evaluation=EvaluationSettings(
        ablation_images=50,
        verifier=TrainingSettings(batch=64, learning_rate=0.1, epochs=4, averaging=0.97),
        verifier_network="resnet5",
    ),
    darts=DartsSettings(
        channels=4,
        cells=3,
        search=TrainingSettings(
            batch=8,
            learning_rate=0.025,
            steps=6,
            nesterov=False,
            weight_decay=3e-4,
            warm_up=0.0,
            final_learning_rate=1e-3,
            clip_norm=5.0,
        ),
        architecture_rate=0.1,
        scratch_channels=4,
        scratch_cells=3,
        scratch=ScratchSettings(
            training=TrainingSettings(batch=16, learning_rate=0.05, steps=8, clip_norm=5.0, cutout=4),
            seeds=2,
            random=2,
            tolerance=0.5,
            auxiliary_weight=0.4,
            drop_path=0.2,
        ),
    ),
    spos=SposSettings(
        space=SpaceSettings(stem=8, stem_stride=1, widths=(16, 32), repeats=(2, 2), strides=(2, 2), tail=64),
        search=TrainingSettings(
            batch=32, learning_rate=0.2, steps=16, nesterov=False, schedule="linear", decay_vectors=False
        ),
        evolution=EvolutionSettings(population=6, generations=2, parents=2, mutations=3, crossovers=2),
        limit_macs=190_000,
        bins=(140_000, 160_000, 180_000, 200_000),
        validation_each=5,
        recalibration=2,
        labels="online",
        scratch=ScratchSettings(
            training=TrainingSettings(batch=32, learning_rate=0.1, steps=10, decay_vectors=False),
            seeds=2,
            random=2,
            tolerance=0.5,
            recalibration=2,
        ),
    ),
)
