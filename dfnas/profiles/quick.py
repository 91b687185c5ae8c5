"""quick: digits on two cores, the default on a fresh machine; the whole book in minutes."""

from dfnas.profiles import settings
from dfnas.profiles.resolve import variant

STUDENT = settings.StudentSettings(
    network="resnet8",
    training=settings.TrainingSettings(batch=64, learning_rate=0.1, steps=240, averaging=0.97),
    temperature=2.0,
    seeds=3,
)
SEARCHES: tuple = (("synthetic", 2), ("real", 2), ("control", 1))
FROM_SCRATCH = settings.ScratchSettings(
    settings.TrainingSettings(batch=64, learning_rate=0.2, steps=100, averaging=0.95, decay_vectors=False),
    searches=SEARCHES,
    alike=4,
)
CELLS = settings.TrainingSettings(batch=64, learning_rate=0.1, steps=800)

SETTINGS = settings.Settings(
    profile="quick",
    run=settings.RunSettings(processes=0),
    # The mirror image of a digit is no digit.
    data=settings.DataSettings("digits", channels=1, classes=10, region=16, canvas=20, padding="zero", flip=False),
    teacher=settings.TeacherSettings(
        network="resnet8",
        shipped="digits-resnet8",
        training=settings.TrainingSettings(batch=64, learning_rate=0.1, epochs=30, averaging=0.98),
    ),
    synthesis=settings.SynthesisSettings(
        images=600,
        batch=100,
        rounds=3,
        stages=((4, 50, "grow"), (2, 50, "grow"), (1, 50, "grow")),
        learning_rates=(0.1, 0.1, 0.05),
        batch_norm_weight=1.0,
        total_variation_l2=3e-3,
        warm_up=5,
        flip="never",
    ),
    student=STUDENT,
    calibration=settings.CalibrationSettings(
        images=200,
        rounds=3,
        sets=3,
        seeds=2,
        hard_rate=0.05,
        # Some sixty trainings: fewer steps, so that the chapter takes two minutes.
        student=variant(STUDENT, training={"steps": 160}),
    ),
    evaluation=settings.EvaluationSettings(
        ablation_images=100,
        verifier=settings.TrainingSettings(batch=64, learning_rate=0.1, epochs=20, averaging=0.97),
        verifier_network="resnet5",
    ),
    darts=settings.DartsSettings(
        channels=4,
        cells=3,
        search=settings.TrainingSettings(
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
        scratch=settings.ScratchSettings(
            settings.TrainingSettings(batch=64, learning_rate=0.1, steps=220, averaging=0.97),
            searches=SEARCHES,
            alike=4,
        ),
    ),
    spos=settings.SposSettings(
        space=settings.SpaceSettings(
            stem=8, stem_stride=1, widths=(16, 32, 64), repeats=(2, 2, 2), strides=(2, 2, 1), tail=128
        ),
        search=settings.TrainingSettings(
            batch=64, learning_rate=0.2, steps=400, nesterov=False, schedule="linear", decay_vectors=False
        ),
        evolution=settings.EvolutionSettings(population=20, generations=4, parents=6, mutations=10, crossovers=10),
        limit_macs=410_000,
        validation_each=10,
        recalibration=4,
        scratch=FROM_SCRATCH,
    ),
    proxylessnas=settings.ProxylessSettings(
        space=settings.MobileSpaceSettings(
            stem=8, first=8, widths=(8, 16), repeats=(2, 2), strides=(1, 2), tail=64, dropout=0.0
        ),
        warm_up=settings.TrainingSettings(
            batch=32, learning_rate=0.2, steps=250, weight_decay=4e-5, decay_vectors=False
        ),
        search=settings.TrainingSettings(
            batch=32, learning_rate=0.1, steps=250, weight_decay=4e-5, warm_up=0.0, decay_vectors=False
        ),
        validation_each=10,
        updates=100,
        judged_batch=100,
        samples=8,
        architecture_rate=0.05,
        temperature=2.0,
        latency=settings.LatencySettings(networks=16),
        scratch=FROM_SCRATCH,
    ),
    consistency=settings.ConsistencySettings(
        architectures=8,
        trainings=2,
        channels=4,
        cells=3,
        training=settings.TrainingSettings(batch=32, learning_rate=0.1, steps=120, averaging=0.95, clip_norm=5.0),
        held_out=0.2,
        candidates=40,
        validation_images=0,
    ),
    # Small networks and images, so that cells differ by more than chance; trained to the end, each reaches 90 %.
    truth=settings.TruthSettings(
        training=CELLS,
        scratch=variant(CELLS, learning_rate=0.2, steps=160, averaging=0.96),
        full=variant(CELLS, steps=200, averaging=0.96),
        evolution=settings.EvolutionSettings(population=4, generations=2, parents=3, mutations=2, crossovers=2),
        darts=settings.MixtureSettings(variant(CELLS, steps=60, clip_norm=5.0), architecture_rate=2e-2),
        reinforce=settings.PolicySettings(updates=15, samples=4),
        scratch_architectures=8,
        seeds=3,
        channels=4,
        cells=1,
        held_out=0.2,
        recalibration=4,
        side=12,
        temperature=2.0,
    ),
    pruning=settings.PruningSettings(
        network="resnet8",
        search=settings.TrainingSettings(batch=64, learning_rate=0.2, steps=150),
        evolution=settings.EvolutionSettings(
            population=10, generations=3, parents=4, mutations=5, crossovers=5, tries=100
        ),
        windows=((1_500_000, 1_600_000), (700_000, 760_000), (360_000, 400_000)),
        genes=((12, 25), (6, 17), (2, 11)),
        training=settings.TrainingSettings(batch=64, learning_rate=0.2, steps=500, averaging=0.97),
        validation_each=10,
        recalibration=4,
        random=2,
        labels="online",
    ),
    distillation=settings.DistillationSettings(
        comparison=variant(STUDENT, network="resnet5", training={"steps": 150, "learning_rate": 0.2}),
        sizes=(25, 75),
        narrow="resnet8x0.5",
        # What the first search of the SPOS chapter finds on synthetic images, under this profile.
        searched="spos:1;stem=8;stem_stride=1;widths=16,32,64;repeats=2,2,2;strides=2,2,1;tail=128;choices=211010",
    ),
    kernels=settings.KernelsSettings(benchmarks=("kernels", "loader"), pairs=3),
    own_network=settings.OwnNetworkSettings(images=600, student_steps=300, supernet_steps=400, random=4),
)
