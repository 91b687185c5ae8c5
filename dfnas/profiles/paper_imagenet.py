"""paper-imagenet: the appendix to the letter (A.B.1), on ImageNet with torchvision's ResNet-50. Not run here.

What the appendix leaves open follows the authors' released command.
"""

from dfnas.profiles.settings import (
    CalibrationSettings,
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

# A.C (knowledge transfer): momentum 0.875, decay 3e-5, batch 1024, rate 1.024. Epochs and warm-up are open: the recipe
# that these four numbers come from has 250 and 8.
STUDENT = StudentSettings(
    network="resnet50",
    training=TrainingSettings(
        batch=1024,
        learning_rate=1.024,
        epochs=250,
        momentum=0.875,
        nesterov=False,
        weight_decay=3e-5,
        warm_up=8 / 250,
    ),
    temperature=1.0,
)

SETTINGS = Settings(
    profile="paper-imagenet",
    chapters=("01-teacher", "02-synthesis", "03-calibration", "06-spos"),
    run=RunSettings(compile=True),
    # As many real images as synthetic ones are read: 140 of each class.
    data=DataSettings(
        name="imagenet", channels=3, classes=1000, region=224, canvas=256, padding="zero", images_per_class=140
    ),
    teacher=TeacherSettings(
        network="resnet50",  # A.B.1
        training=TrainingSettings(
            batch=256, learning_rate=0.1, epochs=90, weight_decay=1e-4, milestones=(1 / 3, 2 / 3)
        ),
    ),
    synthesis=SynthesisSettings(
        images=140_000,  # A.B.1
        batch=50,  # A.B.1
        rounds=10,  # A.B.1
        stages=((2, 2000, "pool"), (1, 3000, "pool")),  # A.B.1 gives the sum, 5000; the split is the code's (D1)
        learning_rates=(0.25, 0.25),  # A.B.1
        batch_norm_weight=0.01,  # open: D27
        total_variation_l2=1e-4,  # open: the authors' code
        image_l2=1e-5,  # open: the authors' code
        first_layer_multiplier=10.0,  # open: the authors' code
        warm_up=100,  # open: the authors' code
    ),
    student=STUDENT,
    calibration=CalibrationSettings(images=14_000, rounds=10, seeds=5, student=STUDENT),
    evaluation=EvaluationSettings(
        ablation_images=1_000,
        verifier=TrainingSettings(batch=256, learning_rate=0.1, epochs=90, weight_decay=1e-4),
        verifier_network="resnet18",
    ),
    spos=SposSettings(
        space=SpaceSettings(),  # SPOS paper, table 1
        search=TrainingSettings(
            batch=1024,  # A.B.3
            learning_rate=0.5,  # A.B.3
            epochs=120,  # A.B.3; the authors' code takes 150,000 steps
            nesterov=False,
            weight_decay=4e-5,  # A.B.3
            warm_up=0.0,
            schedule="linear",  # open: the authors' code
            decay_vectors=False,
        ),
        evolution=EvolutionSettings(),  # SPOS paper, 3.4
        limit_macs=330_000_000,
        validation_each=32,  # A.B.3
        recalibration=25,  # 25,600 images, as the authors' 200 batches of 128
        bins=tuple(range(290_000_000, 360_000_001, 10_000_000)),  # open: the authors' code
        labels="online",  # a stored label does not fit a crop
        temperature=3.0,  # open: the authors' code
        scratch=ScratchSettings(
            training=TrainingSettings(
                batch=1024,
                learning_rate=0.5,
                epochs=240,
                nesterov=False,
                weight_decay=4e-5,
                warm_up=0.0,
                schedule="linear",
                label_smoothing=0.1,
                decay_vectors=False,
            ),
            recalibration=1250,
        ),
    ),
)
