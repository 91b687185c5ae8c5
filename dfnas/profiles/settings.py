"""The settings of each stage. Fields without a default must be given by every profile."""

from dataclasses import dataclass

# The chapters of the book, in their order; a notebook, a module and a record share each name.
CHAPTERS = (
    "01-teacher",
    "02-synthesis",
    "03-calibration",
    "04-darts",
    "05-spos",
    "06-proxylessnas",
    "07-consistency",
    "09-pruning",
    "10-distillation",
    "11-kernels",
    "12-results",
)

DATA_SETS = ("digits", "cifar10", "imagenet", "folder", "none")
NEED_REAL = ("01-teacher", "07-consistency")  # chapters that are about real images and nothing else


@dataclass(frozen=True)
class RunSettings:
    """How things are computed; nothing here changes what is computed, beyond rounding.

    Keys hold the precision, as it is asked for, and nothing else of it.
    """

    device: str = "auto"  # auto | cpu | cuda
    precision: str = "auto"  # auto | fp32 | bf16; auto takes bf16 where the processor multiplies in it
    compile: bool = False  # torch.compile; falls back to eager where there is no C++ compiler
    checkpoint_seconds: float = 5.0  # between two checkpoints of a training run, at least
    processes: int = 1  # for stages that do not need one another, each with one thread; 0: one a core, 8 at most


@dataclass(frozen=True)
class DataSettings:
    """Which real data, and the geometry that synthesis shares with it."""

    name: str  # digits | cifar10 | imagenet | folder: of one's own | none: no real image anywhere
    channels: int
    classes: int
    region: int  # side of what a network sees, s
    canvas: int  # side of what is stored, S; real images are padded to it
    padding: str = "reflect"  # reflect | zero
    flip: bool = True  # whether a mirrored image is still of its class
    download: bool = False  # whether torchvision may download
    images_per_class: int = 0  # images of ImageNet's train split that are read into memory; 0: all, from their files
    # Images of each class that are held out of the train split for validation (of digits a fifth of all, whatever this
    # says); 0: none, and what is watched is trained on too.
    validation: int = 500
    class_names: tuple[str, ...] = ()  # (): the data set's own, or numbers


@dataclass(frozen=True)
class TrainingSettings:
    """One run of the training loop: its optimiser, a linear warm-up and the way down, and how images are augmented."""

    batch: int
    learning_rate: float
    epochs: float = 0.0  # over the data at hand; or steps
    steps: int = 0
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    warm_up: float = 0.1  # fraction of the steps
    averaging: float = 0.0  # decay of the exponential average of the weights; 0: none
    label_smoothing: float = 0.0
    resolutions: tuple[tuple[int, float], ...] = ()  # (side, fraction of the steps): small images first; (): full size
    milestones: tuple[float, ...] = ()  # fractions at which the rate drops tenfold, instead of the cosine
    schedule: str = "cosine"  # cosine | linear: how the rate falls
    final_learning_rate: float = 0.0  # where the cosine or the line ends
    clip_norm: float = 0.0  # largest norm of the gradient of all weights; 0: no limit
    decay_vectors: bool = True  # whether weight decay acts on biases and batch norms too
    cutout: int = 0  # side of the square that is blanked out in each image; 0: none
    optimiser: str = "sgd"  # sgd | adam: momentum is then its first beta, the second is 0.999, and nesterov is unread
    crop: str = "window"  # window: of the region | resized: 8 % of the canvas or more, scaled to the region
    jitter: tuple[float, ...] = ()  # most of brightness, contrast, saturation and hue (of a turn); (): none


@dataclass(frozen=True)
class TeacherSettings:
    """Teacher: the network that is left of the data. `path` replaces the shipped teacher from the second chapter on."""

    network: str
    training: TrainingSettings
    path: str = ""  # "": the shipped one; else a file of weights or of torch.export, or a folder of chapter 1
    builder: str = ""  # builds the network of `path`: module:function, module:function(width=2); "": `network`
    mean: tuple[float, ...] = ()  # normalisation that the network of `path` expects, in [0, 1]; (): the usual one
    std: tuple[float, ...] = ()
    shipped: str = ""  # name of the teacher in the package that this profile uses
    without_statistics: bool = (
        False  # whether a network without batch norms will do; images then get a natural spectrum
    )


@dataclass(frozen=True)
class SynthesisSettings:
    """Synthesis: model inversion with batch-norm statistics, regional update, recursive label calibration."""

    images: int  # in all, over the rounds kept
    batch: int
    rounds: int  # R, the paper's outer iterations
    stages: tuple[tuple[int, int, str], ...]  # (scale, iterations, 'pool' | 'grow'); scale 4 is a quarter of the side
    learning_rates: tuple[float, ...]  # one a stage
    batch_norm_weight: float
    total_variation_l2: float
    keep_rounds: str = "all"  # all | last
    total_variation_l1: float = 0.0
    image_l2: float = 0.0
    cross_entropy_weight: float = 1.0
    first_layer_multiplier: float = 1.0
    betas: tuple[float, float] = (0.5, 0.9)
    warm_up: int = 100
    update: str = "region"  # region | jitter (wrap-around) | whole
    jitter: int = 4  # largest shift of the wrap-around jitter
    flip: str = "random"  # random | always | never
    label_view: str = "center"  # center | last_crop | mean_crops:k
    clip: bool = True


@dataclass(frozen=True)
class StudentSettings:
    """The network that is trained on the synthetic set alone, to see what the set is worth."""

    network: str
    training: TrainingSettings
    labels: str = "online"  # online: teacher on the augmented crop | stored: logits of the set | hard: slot class
    temperature: float = 1.0
    seeds: int = 3
    side: int = 0  # side of what the student sees; 0: the region, else the region is shrunk to it
    mixing: float = 0.0  # online labels: largest share of another image that is laid over each; 0: none


@dataclass(frozen=True)
class CalibrationSettings:
    """Calibration: arms at equal counts and steps, over paired seeds."""

    images: int
    rounds: int
    seeds: int
    student: StudentSettings
    slots_shown: int = 20


@dataclass(frozen=True)
class EvaluationSettings:
    """How sets are judged: by the verifier, another network, trained on real data; and the size of small variants."""

    verifier_network: str
    verifier: TrainingSettings
    ablation_images: int


@dataclass(frozen=True)
class ScratchSettings:
    """How a found architecture is judged: trained from scratch on real data, beside random ones of like cost."""

    training: TrainingSettings
    seeds: int = 3  # of each found architecture
    side: int = 0  # side of what the network sees; 0: the region, else the region is shrunk to it
    random: int = 8  # random architectures, one seed each, in equal shares about the costs of the finds
    tolerance: float = 0.15  # between multiply-adds of a find and of those it is compared with, at most
    auxiliary_weight: float = 0.0  # of the auxiliary head's loss (DARTS); 0: no such head
    drop_path: float = 0.0  # rate that drop-path reaches at the end (DARTS)
    recalibration: int = 0  # batches that the batch-norm statistics are taken from anew at the end; 0: none


@dataclass(frozen=True)
class DartsSettings:
    """DARTS: differentiable search; cells of `channels` at the start, and those that are judged."""

    channels: int
    cells: int
    search: TrainingSettings  # of the supernet's weights; its batch is the architecture's too
    scratch: ScratchSettings
    scratch_channels: int
    scratch_cells: int
    side: int = 0  # side of what the supernet sees; 0: the region
    order: str = "second"  # first | second
    architecture_rate: float = 3e-4
    architecture_betas: tuple[float, float] = (0.5, 0.999)
    architecture_decay: float = 1e-3
    search_seeds: int = 2  # searches on synthetic data, to see whether they agree; other sources have one
    temperature: float = 1.0


@dataclass(frozen=True)
class EvolutionSettings:
    """Constrained evolutionary search (SPOS paper, section 3.4; shared by SPOS and pruning)."""

    population: int = 50
    generations: int = 20
    parents: int = 10
    mutations: int = 25
    crossovers: int = 25
    mutation_probability: float = 0.1
    tries: int = 10  # attempts for each mutant or crossing that is admissible and new


@dataclass(frozen=True)
class SpaceSettings:
    """SPOS's single-path space: a stem, stages of choice blocks, a 1x1 convolution before the classifier."""

    stem: int = 16
    stem_stride: int = 2
    widths: tuple[int, ...] = (64, 160, 320, 640)
    repeats: tuple[int, ...] = (4, 4, 8, 4)
    strides: tuple[int, ...] = (2, 2, 2, 2)
    tail: int = 1024
    dropout: float = 0.1  # before the classifier; part of training, so not of an architecture's text


@dataclass(frozen=True)
class SposSettings:
    """SPOS: single-path one-shot search."""

    space: SpaceSettings
    search: TrainingSettings  # of the supernet's weights
    evolution: EvolutionSettings
    scratch: ScratchSettings
    limit_macs: int  # of a candidate
    validation_each: int  # images a class, in the classes' shares, that are held out of a source to judge candidates
    recalibration: int  # batches that a candidate's batch-norm statistics are taken from
    bins: tuple[int, ...] = ()  # ends of the bins of multiply-adds that paths are drawn from; (): uniform paths
    side: int = 0  # side of what the supernet sees; 0: the region
    labels: str = "stored"  # stored | online: the teacher on the augmented crop
    temperature: float = 3.0


@dataclass(frozen=True)
class MobileSpaceSettings:
    """ProxylessNAS's space: a stem, a fixed block, stages of MBConv blocks, a 1x1 convolution before the classifier.

    The defaults are ProxylessNAS's (its code's, where its published network for phones has 32 for the first width).
    """

    stem: int = 32
    stem_stride: int = 2
    first: int = 16  # channels behind the fixed block
    widths: tuple[int, ...] = (24, 40, 80, 96, 192, 320)
    repeats: tuple[int, ...] = (4, 4, 4, 4, 4, 1)
    strides: tuple[int, ...] = (2, 2, 2, 1, 2, 1)
    tail: int = 1280
    dropout: float = 0.1  # before the classifier; part of training, so not of an architecture's text


@dataclass(frozen=True)
class LatencySettings:
    """How the latency of operators and of whole networks is measured."""

    batch: int = 1  # images at once
    repeats: int = 25  # measurements, of which the lower quartile is taken
    networks: int = 20  # random networks on which the sum over operators is checked


@dataclass(frozen=True)
class ProxylessSettings:
    """ProxylessNAS: a path-binarised supernet; the architecture parameters are moved by REINFORCE or by gradients."""

    space: MobileSpaceSettings
    warm_up: TrainingSettings  # of the supernet's weights, before the architecture parameters move
    search: TrainingSettings  # of the weights, while they move
    scratch: ScratchSettings
    validation_each: int  # images a class, in their shares, held out of a source to move the architecture parameters
    updates: int  # of the architecture parameters, spread evenly over the steps of the search
    delay: float = 0.0  # fraction of the steps of the search before the first of them
    update: str = "reinforce"  # reinforce | gradient: two paths at once
    judged_batch: int = 1000  # held-out images of an update
    samples: int = 10  # architectures judged in an update of REINFORCE
    baseline_rate: float = 0.99  # how far the baseline moves to the mean reward of an update
    architecture_rate: float = 1e-3
    architecture_betas: tuple[float, float] = (0.0, 0.999)
    cost: str = "macs"  # macs | latency
    reference: float = 0.0  # in multiply-adds or milliseconds; 0: the mean over all architectures
    exponent: float = 0.1  # of reference / cost in the reward of REINFORCE
    cost_weight: float = 0.1  # of (cost - reference) / reference in the loss of the gradient update
    latency: LatencySettings = LatencySettings()
    latency_table: str = ""  # file that `python -m dfnas latency` wrote; "": measured in a stage
    side: int = 0  # side of what the supernet sees; 0: the region
    labels: str = "stored"  # stored | online: the teacher on the augmented crop
    temperature: float = 1.0


@dataclass(frozen=True)
class PruningSettings:
    """Pruning: a PruningNet, searches for widths that keep to windows of cost, and trainings of what they find."""

    network: str  # what is pruned: resnet50, or a CIFAR ResNet such as resnet20
    search: TrainingSettings  # of the PruningNet
    evolution: EvolutionSettings
    windows: tuple[tuple[int, int], ...]  # multiply-adds that a find costs, from and to; the first's is exported
    genes: tuple[tuple[int, int], ...]  # for each window: lowest and highest gene of random candidates
    training: TrainingSettings  # of every network that is compared, from scratch on the synthetic set
    validation_each: int  # images a class, in the classes' shares, that are held out of a source to judge candidates
    recalibration: int  # batches that a candidate's batch-norm statistics are taken from
    seeds: int = 3  # of each training, but for random encodings: those have one each
    random: int = 5  # random encodings for each window
    side: int = 0  # side of what all networks see; 0: the region, else the region is shrunk to it
    labels: str = "stored"  # stored | online: the teacher on the augmented crop
    temperature: float = 1.0


@dataclass(frozen=True)
class DistillationSettings:
    """Distillation: students from the synthetic set alone; the full recipe is the profile's `student`."""

    comparison: StudentSettings  # a cheaper recipe, for the many arms; each arm has labels of its own
    sizes: tuple[int, ...]  # of parts of the synthetic set, in slots: accuracy against the number of images
    narrow: str  # a narrower student, and one that a search found, by name or text: the same recipe
    searched: str
    seeds: int = 3  # of each compared arm
    real_all_seeds: int = 1  # of the full recipe on all real images
    other_temperature: float = 1.0  # of one arm, beside the comparison's own temperature
    iterations_share: float = 0.25  # of the iterations, for the set that is made in less time


@dataclass(frozen=True)
class TabularSettings:
    """A second opinion, where a table is given: its space's supernet, trained on the synthetic set."""

    training: TrainingSettings  # of the supernet's weights, a uniform path a step
    architectures: int = 200  # of the table's, drawn at random; 0: all
    channels: int = 16  # NAS-Bench-201: channels of the first stage, and cells of each of the three
    cells: int = 5
    recalibration: int = 8  # batches that a candidate's batch-norm statistics are taken from
    side: int = 0  # side of what the supernet sees; 0: the region
    temperature: float = 1.0


@dataclass(frozen=True)
class ConsistencySettings:
    """Consistency: random architectures, ranked by what they reach when they learn from each source."""

    training: TrainingSettings  # of each DARTS architecture, on every source
    tabular: TabularSettings
    architectures: int = 0  # random DARTS architectures, each trained four times; 0: leave this part out
    channels: int = 16
    cells: int = 8
    side: int = 0  # side of what the networks see; 0: the region
    temperature: float = 1.0  # of the loss on soft labels
    test_images: int = 0  # real test images that judge a network, the classes in equal shares; 0: all
    # Share of a source without real data that judges networks too, and trains none; 0: all train, a tenth judges too.
    held_out: float = 0.1
    candidates: int = 0  # random SPOS paths, judged by the supernets of the SPOS chapter; 0: leave this part out
    whole_real: bool = False  # whether supernets of real data learn from all of it: not from as many as the set has
    validation_images: int = 1000  # real validation images that judge a path too; 0: all
    resamples: int = 2000  # of the bootstrap
    table: str = ""  # a CSV file: architecture, accuracy, macs, parameters; "": no second opinion


@dataclass(frozen=True)
class KernelsSettings:
    """Kernels: what is measured, by files of benchmarks/; (): all of it."""

    benchmarks: tuple[str, ...] = ()
    pairs: int = 5  # timings of plain and ours, in turn, that a ratio is the median of


@dataclass(frozen=True)
class Settings:
    """A profile, resolved for one run."""

    profile: str
    run: RunSettings
    data: DataSettings
    teacher: TeacherSettings
    synthesis: SynthesisSettings
    student: StudentSettings
    calibration: CalibrationSettings
    evaluation: EvaluationSettings
    # What a profile lacks is None, and its chapter is refused before anything reads it.
    darts: DartsSettings = None  # type: ignore[assignment]
    spos: SposSettings = None  # type: ignore[assignment]
    consistency: ConsistencySettings = None  # type: ignore[assignment]
    proxylessnas: ProxylessSettings = None  # type: ignore[assignment]
    pruning: PruningSettings = None  # type: ignore[assignment]
    distillation: DistillationSettings = None  # type: ignore[assignment]
    kernels: KernelsSettings = None  # type: ignore[assignment]
    chapters: tuple[str, ...] = CHAPTERS
    seed: int = 0
    overrides: tuple[str, ...] = ()
    # Of a profile of one's own: its file, and the profile that it starts from. `profile` is then stem and digest.
    file: str = ""
    base: str = ""

    @property
    def argument(self) -> str:
        """What names the profile to a command or a notebook."""
        return self.file or self.profile
