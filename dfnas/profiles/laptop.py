"""laptop: CIFAR-10 on two cores; no chapter over half an hour. Values were tuned here, on validation data."""

from dfnas.profiles.settings import (
    CalibrationSettings,
    DataSettings,
    EvaluationSettings,
    RunSettings,
    Settings,
    StudentSettings,
    SynthesisSettings,
    TeacherSettings,
    TrainingSettings,
)

STUDENT = StudentSettings(
    network="resnet20",
    training=TrainingSettings(batch=128, learning_rate=0.1, steps=1500, averaging=0.995),
    temperature=4.0,
)

SETTINGS = Settings(
    profile="laptop",
    chapters=("01-teacher", "02-synthesis", "03-calibration"),
    run=RunSettings(compile=True),
    data=DataSettings(name="cifar10", channels=3, classes=10, region=32, canvas=40),
    teacher=TeacherSettings(
        network="resnet20",
        shipped="cifar10-resnet20",
        training=TrainingSettings(
            batch=128,
            learning_rate=0.15,
            epochs=20,
            weight_decay=5e-4,
            averaging=0.998,
            resolutions=((16, 0.35), (24, 0.25)),
        ),
    ),
    synthesis=SynthesisSettings(
        images=6000,
        batch=250,
        rounds=3,
        stages=((4, 50, "grow"), (2, 50, "grow"), (1, 40, "grow")),
        learning_rates=(0.1, 0.1, 0.05),
        batch_norm_weight=5.0,
        total_variation_l2=3e-3,
        warm_up=5,
    ),
    student=STUDENT,
    calibration=CalibrationSettings(images=2000, rounds=3, seeds=5, student=STUDENT),
    evaluation=EvaluationSettings(
        ablation_images=250,
        verifier=TrainingSettings(batch=128, learning_rate=0.1, epochs=4, averaging=0.99),
        verifier_network="resnet8",
    ),
)
