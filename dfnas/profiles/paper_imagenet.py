"""paper-imagenet: the appendix to the letter (A.B.1), on ImageNet with torchvision's ResNet-50. Not run here.

What the appendix leaves open follows the authors' released command.
"""

from dfnas.profiles import settings
from dfnas.profiles.resolve import variant

# A.C (knowledge transfer): momentum 0.875, decay 3e-5, batch 1024, rate 1.024. Epochs and warm-up are open: the recipe
# that these four numbers come from has 250 and 8.
STUDENT = settings.StudentSettings(
    network="resnet50",
    training=settings.TrainingSettings(
        batch=1024,
        learning_rate=1.024,
        epochs=250,
        momentum=0.875,
        nesterov=False,
        weight_decay=3e-5,
        warm_up=8 / 250,
        decay_vectors=False,  # open, as the crop: the same recipe's
        crop="resized",
    ),
    temperature=1.0,
)
# Of the arms that learn from stored labels, which do not fit a crop at another scale.
STORED = variant(STUDENT, training={"crop": "window"})
# ProxylessNAS's training of the supernet's weights, before the search and in it.
WARM_UP = settings.TrainingSettings(
    batch=256,  # A.B.4: "the same hyper-parameters"; this one and those below are ProxylessNAS's code's
    learning_rate=0.05,
    epochs=40,
    weight_decay=4e-5,
    warm_up=0.0,
    label_smoothing=0.1,  # of true classes alone
    crop="resized",
    jitter=(32 / 255, 0.0, 0.5, 0.0),
)
# SPOS's training of the supernet's weights.
SUPERNET = settings.TrainingSettings(
    batch=1024,  # A.B.3
    learning_rate=0.5,  # A.B.3
    epochs=120,  # A.B.3; the authors' code takes 150,000 steps
    nesterov=False,
    weight_decay=4e-5,  # A.B.3
    warm_up=0.0,
    schedule="linear",  # open: the authors' code
    decay_vectors=False,
    label_smoothing=0.1,  # of true classes alone: SPOS's code, and so the crop
    crop="resized",
)
# Of the PruningNet; its sources stand beside `pruning` below.
PRUNING_NET = settings.TrainingSettings(
    batch=256,
    learning_rate=0.1,
    epochs=32,
    nesterov=False,
    weight_decay=1e-4,
    warm_up=0.0,
    milestones=(1 / 4, 1 / 2, 3 / 4),
    label_smoothing=0.1,  # of true classes alone: MetaPruning's code
)

SETTINGS = settings.Settings(
    profile="paper-imagenet",
    chapters=(
        "01-teacher",
        "02-synthesis",
        "03-calibration",
        "05-spos",
        "06-proxylessnas",
        "07-consistency",
        "09-pruning",
        "10-distillation",
    ),
    run=settings.RunSettings(compile=True),
    # All real images but ten of each class are read; a search on real ones takes as many as the synthetic set has.
    data=settings.DataSettings(
        name="imagenet", channels=3, classes=1000, region=224, canvas=256, padding="zero", validation=10
    ),
    teacher=settings.TeacherSettings(
        network="resnet50",  # A.B.1
        training=settings.TrainingSettings(
            batch=256, learning_rate=0.1, epochs=90, weight_decay=1e-4, milestones=(1 / 3, 2 / 3), crop="resized"
        ),
    ),
    synthesis=settings.SynthesisSettings(
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
    calibration=settings.CalibrationSettings(images=14_000, rounds=10, seeds=5, student=STORED),
    evaluation=settings.EvaluationSettings(
        ablation_images=1_000,
        verifier=settings.TrainingSettings(batch=256, learning_rate=0.1, epochs=90, weight_decay=1e-4, crop="resized"),
        verifier_network="torchvision:resnet18",
    ),
    spos=settings.SposSettings(
        space=settings.SpaceSettings(),  # SPOS paper, table 1
        search=SUPERNET,
        evolution=settings.EvolutionSettings(),  # SPOS paper, 3.4
        limit_macs=330_000_000,
        validation_each=32,  # A.B.3
        recalibration=25,  # 25,600 images, as the authors' 200 batches of 128
        bins=tuple(range(290_000_000, 360_000_001, 10_000_000)),  # open: the authors' code
        labels="online",  # a stored label does not fit a crop
        temperature=3.0,  # open: the authors' code
        scratch=settings.ScratchSettings(
            training=variant(SUPERNET, epochs=240, jitter=(0.4, 0.4, 0.4, 0.0)),  # A.B.3; the jitter is SPOS's code's
            recalibration=1250,
        ),
    ),
    proxylessnas=settings.ProxylessSettings(
        space=settings.MobileSpaceSettings(dropout=0.0),  # ProxylessNAS's code; no dropout in the search
        warm_up=WARM_UP,
        search=variant(WARM_UP, learning_rate=0.025, epochs=120),
        validation_each=32,  # A.B.4: about 32,000 images
        updates=300 * 119,  # 300 an epoch, as the code has them on an epoch that is eleven times as long
        delay=1 / 120,  # none in the first epoch
        judged_batch=1000,
        samples=10,
        architecture_rate=1e-3,  # A.B.4
        reference=300e6,  # open: ProxylessNAS's code
        labels="online",  # a stored label does not fit a crop
        temperature=1.0,  # open
        scratch=settings.ScratchSettings(
            training=settings.TrainingSettings(
                batch=256,
                optimiser="adam",  # A.B.4; ProxylessNAS's code takes SGD
                learning_rate=1e-3,  # open: the one rate that A.B.4 has for Adam; 0.05 is that of SGD
                epochs=300,  # A.B.4; the rest is ProxylessNAS's code's
                weight_decay=4e-5,
                warm_up=0.0,
                label_smoothing=0.1,
                decay_vectors=False,
                crop="resized",
                jitter=(0.4, 0.4, 0.4, 0.1),
            )
        ),
    ),
    # The appendix gives the SPOS part: 1000 architectures, three supernets.
    consistency=settings.ConsistencySettings(
        candidates=1000,
        whole_real=True,  # "on ImageNet"
        validation_images=10_000,  # all that are held out
        training=settings.TrainingSettings(batch=64, learning_rate=0.025, epochs=50),  # of the DARTS part: none here
    ),
    # A.C: as MetaPruning but for the data, a random crop, and the batch. The drops are those of MetaPruning's code.
    pruning=settings.PruningSettings(
        network="resnet50",
        search=PRUNING_NET,
        # MetaPruning's code; the tries are ours, as costs are arithmetic here
        evolution=settings.EvolutionSettings(tries=100),
        # Open: the target. MetaPruning's code searches 1.95 to 2.05 billion by its own counter, which counts one in a
        # hundred more, and ships a network of 1.0 billion; the third window is ours.
        windows=((1_950_000_000, 2_050_000_000), (950_000_000, 1_050_000_000), (470_000_000, 530_000_000)),
        genes=((12, 23), (6, 17), (1, 12)),  # the first: MetaPruning's code
        training=variant(PRUNING_NET, epochs=128),  # the drops are open: as the PruningNet's
        validation_each=32,
        recalibration=391,  # 100,000 images, as MetaPruning's 100 batches of 1,000
    ),
    # A.C has ResNet-50 to ResNet-50 alone; the arms beside it are ours, under the same recipe.
    distillation=settings.DistillationSettings(
        comparison=STORED,
        sizes=(1_750, 3_500, 7_000),
        narrow="torchvision:resnet18",
        # The cells that DARTS's authors published, at their size for ImageNet: the paper's own finds are not.
        searched="darts:1;channels=48;cells=14;stem=imagenet;"
        "normal=sep_conv_3x3@0,sep_conv_3x3@1|sep_conv_3x3@0,sep_conv_3x3@1|"
        "sep_conv_3x3@1,skip_connect@0|skip_connect@0,dil_conv_3x3@2;"
        "reduce=max_pool_3x3@0,max_pool_3x3@1|skip_connect@2,max_pool_3x3@1|"
        "max_pool_3x3@0,skip_connect@2|skip_connect@2,max_pool_3x3@1",
        other_temperature=3.0,  # the authors' code for SPOS
    ),
)
