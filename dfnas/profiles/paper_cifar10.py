"""paper-cifar10: the appendix to the letter (A.B.1), on the original CIFAR-10. Made for a GPU; not run here.

The appendix gives teacher, counts, batch, iterations, rounds, optimiser and rate. Loss weights, betas, schedule and
the student are open: the source of each default is named beside it.
"""

from dfnas.profiles import settings

# Open in the paper. ResNet-34 -> ResNet-18 is the pair of the data-free distillation benchmark (Fast-Datafree).
STUDENT = settings.StudentSettings(
    network="resnet18",
    training=settings.TrainingSettings(
        batch=256, learning_rate=0.1, epochs=200, weight_decay=1e-4, nesterov=False, warm_up=0.0
    ),
    temperature=1.0,
)
# DARTS's search of the supernet's weights.
SEARCH = settings.TrainingSettings(
    batch=64,
    learning_rate=0.025,
    epochs=50,  # in the search, of the half that moves the weights
    nesterov=False,
    weight_decay=3e-4,
    warm_up=0.0,
    final_learning_rate=1e-3,  # DARTS's code; its paper ends at 0
    clip_norm=5.0,
)

SETTINGS = settings.Settings(
    profile="paper-cifar10",
    chapters=("01-teacher", "02-synthesis", "03-calibration", "04-darts", "07-consistency"),
    run=settings.RunSettings(compile=True),
    # Nothing is chosen by validation images here: as in the paper, all 50,000 are trained on.
    data=settings.DataSettings("cifar10", channels=3, classes=10, region=32, canvas=40, padding="zero", validation=0),
    teacher=settings.TeacherSettings(
        network="resnet34",  # A.B.1
        # Open in the paper: the recipe of DAFL's teacher.
        training=settings.TrainingSettings(
            batch=128,
            learning_rate=0.1,
            epochs=200,
            nesterov=False,
            weight_decay=5e-4,
            warm_up=0.0,
            milestones=(0.4, 0.6),
        ),
    ),
    synthesis=settings.SynthesisSettings(
        images=50_000,  # A.B.1
        batch=250,  # A.B.1
        rounds=10,  # A.B.1: outer iterations
        stages=((1, 2000, "grow"),),  # A.B.1: inner iterations; one resolution
        learning_rates=(0.1,),  # A.B.1
        batch_norm_weight=10.0,  # open: DeepInversion's CIFAR-10 command
        total_variation_l2=1e-3,  # open: the same
        keep_rounds="all",  # open: the authors' code
        betas=(0.5, 0.9),  # open: the authors' code
        warm_up=100,  # open: the authors' code
    ),
    student=STUDENT,
    calibration=settings.CalibrationSettings(images=5_000, rounds=10, seeds=5, student=STUDENT),
    evaluation=settings.EvaluationSettings(
        ablation_images=1_000,
        verifier=settings.TrainingSettings(batch=128, learning_rate=0.1, epochs=100),
        verifier_network="resnet18",
    ),
    darts=settings.DartsSettings(
        channels=16,  # DARTS paper, 3.1
        cells=8,  # the same
        search=SEARCH,
        order="second",  # open: DARTS's better figures come from it
        architecture_rate=3e-4,
        search_seeds=2,
        scratch_channels=36,  # A.B.2
        scratch_cells=20,  # A.B.2
        scratch=settings.ScratchSettings(
            training=settings.TrainingSettings(
                batch=96,  # A.B.2
                learning_rate=0.025,
                epochs=600,  # A.B.2
                nesterov=False,
                weight_decay=3e-4,
                warm_up=0.0,
                clip_norm=5.0,
                cutout=16,  # this and the two below: DARTS's paper and code
            ),
            auxiliary_weight=0.4,
            drop_path=0.2,
        ),
    ),
    # The appendix gives the DARTS part: 100 architectures, three trainings each. How long is open: the protocol of
    # DARTS's search.
    consistency=settings.ConsistencySettings(
        architectures=100,
        channels=16,
        cells=8,
        training=SEARCH,
        held_out=0.0,  # each learns from all 50,000 images of its source
    ),
)
