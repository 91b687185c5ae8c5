"""quick: digits on two cores, the default on a fresh machine; the whole book in minutes."""

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
    training=TrainingSettings(batch=64, learning_rate=0.1, steps=300, averaging=0.97),
    temperature=2.0,
    seeds=3,
)

SETTINGS = Settings(
    profile="quick",
    chapters=("01-teacher", "02-synthesis", "03-calibration", "05-darts", "06-spos"),
    run=RunSettings(),
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
    calibration=CalibrationSettings(images=200, rounds=3, seeds=5, student=STUDENT),
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
            steps=100,
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
        scratch=ScratchSettings(training=TrainingSettings(batch=64, learning_rate=0.1, steps=80, averaging=0.95)),
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
            training=TrainingSettings(batch=64, learning_rate=0.2, steps=120, averaging=0.95, decay_vectors=False)
        ),
    ),
)
