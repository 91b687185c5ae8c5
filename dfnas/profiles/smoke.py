"""smoke: digits, as small as every code path allows; what the tests run. Its numbers mean nothing."""

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
    network="resnet8",
    training=TrainingSettings(batch=64, learning_rate=0.1, steps=30, averaging=0.97),
    temperature=2.0,
    seeds=2,
)

SETTINGS = Settings(
    profile="smoke",
    chapters=("01-teacher", "02-synthesis", "03-calibration"),
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
)
