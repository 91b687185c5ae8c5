"""The settings of each stage. Fields without a default must be given by every profile."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from dfnas.profiles.kinds import PATH, Rule, within

# The chapters of the book, in their order; a notebook, a module and a record share each name.
CHAPTERS = (
    "00-own-network",
    "01-teacher",
    "02-synthesis",
    "03-calibration",
    "04-darts",
    "05-spos",
    "06-proxylessnas",
    "07-consistency",
    "08-truth",
    "09-pruning",
    "10-distillation",
    "11-kernels",
    "12-results",
)

NEED_REAL = ("01-teacher", "07-consistency", "08-truth")  # chapters that are about real images and nothing else

# What fields hold, beyond their type.
Number = Annotated[int, within(0, 10**9)]
Count = Annotated[int, within(1, 10**9)]
Several = Annotated[int, within(2, 10**9)]  # a batch norm learns from two images or more
Repeats = Annotated[int, within(1, 1000)]
Spread = Annotated[int, Rule(lambda value: 2 <= value <= 1000, "from 2 to 1,000, since the chapter reports a spread")]
Width = Annotated[int, within(1, 65_536)]
Depth = Annotated[int, within(1, 1000)]
Stride = Annotated[int, within(1, 2)]
Macs = Annotated[int, within(0, 10**15)]
Side = Annotated[int, within(1, 4096)]
SideOrNone = Annotated[int, within(0, 4096)]
Amount = Annotated[float, within(0, 1e15)]
Positive = Annotated[float, Rule(lambda value: 0 < value <= 1e15, "above 0, and up to 1e+15")]
Share = Annotated[float, within(0, 1)]
Decay = Annotated[float, Rule(lambda value: 0 <= value < 1, "from 0 up to, but not, 1")]
Part = Annotated[float, Rule(lambda value: 0 < value < 1, "between 0 and 1")]
Mean = Annotated[float, Rule(lambda value: 0 <= value <= 1, "from 0 to 1: divide values of 0 to 255 by 255")]
Deviation = Annotated[float, Rule(lambda value: 0 < value <= 1, "above 0, at most 1: divide values of 0 to 255 by 255")]
Name = Annotated[str, Rule(str.isprintable, "one line of text")]
FilePath = Annotated[str, PATH]
Benchmark = Literal[
    "synthesis_step", "darts_step", "searches", "candidates", "kernels", "loader", "memory", "kept_memory", "precision",
    "small_networks", "processes", "time_to_student", "growth"
]  # fmt: skip
SourceName = Literal["synthetic", "real", "real_soft", "control", "noise"]  # what is searched on; see data.origins
Ranked = Annotated[int, Rule(lambda value: value == 0 or 3 <= value <= 10**9, "3 or more, to be ranked, or 0")]
Labels = Literal["stored", "online"]  # logits of the set, or the teacher on the augmented crop


@dataclass(frozen=True)
class RunSettings:
    """How things are computed; nothing here changes what is computed, beyond rounding.

    Keys hold the precision, as it is asked for, and nothing else of it.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto takes bf16 where the processor multiplies in it
    compile: bool = False  # torch.compile; falls back to eager where there is no C++ compiler
    checkpoint_seconds: Amount = 5.0  # between two checkpoints of a training run, at least
    # For stages that do not need one another, each with one thread; 0: one a core, 8 at most.
    processes: Annotated[int, within(0, 64)] = 1
    tensorboard: bool = False  # every training writes its curves to runs/tensorboard/; needs the package tensorboard


@dataclass(frozen=True)
class DataSettings:
    """Which real data, and the geometry that synthesis shares with it."""

    # folder: of one's own | none: no real image anywhere
    name: Literal["digits", "cifar10", "imagenet", "folder", "none"]
    channels: Annotated[int, within(1, 1000)]
    classes: Annotated[int, within(2, 100_000)]
    region: Side  # side of what a network sees, s
    canvas: Side  # side of what is stored, S; real images are padded to it
    padding: Literal["reflect", "zero"] = "reflect"
    flip: bool = True  # whether a mirrored image is still of its class
    download: bool = False  # whether torchvision may download
    images_per_class: Number = 0  # images of ImageNet's train split that are read into memory; 0: all, from their files
    # Images of each class that are held out of the train split for validation (of digits a fifth of all, whatever this
    # says); 0: none, and what is watched is trained on too.
    validation: Number = 500
    class_names: tuple[Name, ...] = ()  # (): the data set's own, or numbers


@dataclass(frozen=True)
class TrainingSettings:
    """One run of the training loop: its optimiser, a linear warm-up and the way down, and how images are augmented."""

    batch: Several
    learning_rate: Positive
    epochs: Amount = 0.0  # over the data at hand; or steps: who changes one of them alone has chosen it
    steps: Number = 0
    momentum: Decay = 0.9
    nesterov: bool = True
    weight_decay: Amount = 5e-4
    warm_up: Share = 0.1  # fraction of the steps
    averaging: Decay = 0.0  # decay of the exponential average of the weights; 0: none
    label_smoothing: Decay = 0.0
    resolutions: tuple[tuple[Side, Share], ...] = ()  # (side, fraction of the steps): small images first; (): full size
    milestones: tuple[Share, ...] = ()  # fractions at which the rate drops tenfold, instead of the cosine
    schedule: Literal["cosine", "linear"] = "cosine"  # how the rate falls
    final_learning_rate: Amount = 0.0  # where the cosine or the line ends
    clip_norm: Amount = 0.0  # largest norm of the gradient of all weights; 0: no limit
    decay_vectors: bool = True  # whether weight decay acts on biases and batch norms too
    cutout: SideOrNone = 0  # side of the square that is blanked out in each image; 0: none
    # Of adam, momentum is the first beta, the second is 0.999; nesterov is unread.
    optimiser: Literal["sgd", "adam"] = "sgd"
    # window: of the region | resized: 8 % of the canvas or more, scaled to it
    crop: Literal["window", "resized"] = "window"
    jitter: tuple[Share, ...] = ()  # most of brightness, contrast, saturation and hue (of a turn); (): none


@dataclass(frozen=True)
class TeacherSettings:
    """Teacher: the network that is left of the data. `path` replaces the shipped teacher from the second chapter on."""

    network: str
    training: TrainingSettings
    path: FilePath = ""  # "": the shipped one; else a file of weights or of torch.export, or a folder of chapter 1
    builder: str = ""  # builds the network of `path`: module:function, module:function(width=2); "": `network`
    mean: tuple[Mean, ...] = ()  # normalisation that the network of `path` expects, in [0, 1]; (): the usual one
    std: tuple[Deviation, ...] = ()
    shipped: Literal["", "digits-resnet8", "cifar10-resnet20"] = ""  # the teacher in the package that the profile uses
    without_statistics: bool = False  # whether one without batch norms will do; images then get a natural spectrum


def _is_view(text: str) -> bool:
    return bool(re.fullmatch("center|last_crop|mean_crops:[1-9][0-9]{0,2}", text))


@dataclass(frozen=True)
class SynthesisSettings:
    """Synthesis: model inversion with batch-norm statistics, regional update, recursive label calibration."""

    images: Count  # in all, over the rounds kept
    batch: Count
    rounds: Repeats  # R, the paper's outer iterations
    # (scale, iterations, how); scale 4 is a quarter of the side
    stages: tuple[tuple[Side, Count, Literal["pool", "grow"]], ...]
    learning_rates: tuple[Positive, ...]  # one a stage
    batch_norm_weight: Amount
    total_variation_l2: Amount
    keep_rounds: Literal["all", "last"] = "all"
    total_variation_l1: Amount = 0.0
    image_l2: Amount = 0.0
    cross_entropy_weight: Amount = 1.0
    first_layer_multiplier: Amount = 1.0
    betas: tuple[Decay, Decay] = (0.5, 0.9)
    warm_up: Number = 100
    update: Literal["region", "jitter", "whole"] = "region"  # jitter wraps around
    jitter: SideOrNone = 4  # largest shift of the wrap-around jitter
    flip: Literal["random", "always", "never"] = "random"
    label_view: Annotated[str, Rule(_is_view, "center, last_crop, or mean_crops:k with k from 1 to 999")] = "center"
    clip: bool = True


@dataclass(frozen=True)
class StudentSettings:
    """The network that is trained on the synthetic set alone, to see what the set is worth."""

    network: str
    training: TrainingSettings
    # online: teacher on the augmented crop | stored: logits of the set | hard: slot class
    labels: Literal["online", "stored", "hard"] = "online"
    temperature: Positive = 1.0
    seeds: Repeats = 3
    side: SideOrNone = 0  # side of what the student sees; 0: the region, else the region is shrunk to it
    mixing: Share = 0.0  # online labels: largest share of another image that is laid over each; 0: none


@dataclass(frozen=True)
class CalibrationSettings:
    """Calibration: arms at equal counts and steps, over paired seeds, on one set or several."""

    images: Count
    rounds: Annotated[int, within(2, 1000)]  # of which the first and the last are compared
    seeds: Spread
    student: StudentSettings
    sets: Repeats = 1  # synthetic sets, by seeds from the run's on; an interval over sets takes two or more
    between: tuple[Count, ...] = ()  # further rounds that are compared
    hard_rate: Amount = 0.0  # learning rate of students with hard labels, whose loss is another; 0: the others'
    slots_shown: Count = 20


@dataclass(frozen=True)
class EvaluationSettings:
    """How sets are judged: by the verifier, another network, trained on real data; and the size of small variants."""

    verifier_network: str
    verifier: TrainingSettings
    ablation_images: Count


@dataclass(frozen=True)
class ScratchSettings:
    """How a found architecture is judged: trained from scratch on real data, beside random ones of like cost."""

    training: TrainingSettings
    seeds: Spread = 2  # trainings of each found architecture
    side: SideOrNone = 0  # side of what the network sees; 0: the region, else the region is shrunk to it
    # How many searches on each source, by seeds from the run's on; an interval over searches takes two or more.
    searches: tuple[tuple[SourceName, Repeats], ...] = (("synthetic", 1), ("real", 1), ("control", 1), ("noise", 1))
    random: Spread = 8  # random architectures, one training each, in equal shares about the costs of the finds
    tolerance: Positive = 0.05  # between multiply-adds of a find and of those it is compared with, as far as they reach
    alike: Spread = 8  # random architectures that a find is compared with, at least: the nearest in cost
    auxiliary_weight: Amount = 0.0  # of the auxiliary head's loss (DARTS); 0: no such head
    drop_path: Decay = 0.0  # rate that drop-path reaches at the end (DARTS)
    recalibration: Number = 0  # batches that the batch-norm statistics are taken from anew at the end; 0: none


@dataclass(frozen=True)
class DartsSettings:
    """DARTS: differentiable search; cells of `channels` at the start, and those that are judged."""

    channels: Width
    cells: Annotated[int, within(3, 1000)]  # two of them reduce, and one at least does not
    search: TrainingSettings  # of the supernet's weights; its batch is the architecture's too
    scratch: ScratchSettings
    scratch_channels: Width
    scratch_cells: Depth
    side: SideOrNone = 0  # side of what the supernet sees; 0: the region
    order: Literal["first", "second"] = "second"
    architecture_rate: Positive = 3e-4
    architecture_betas: tuple[Decay, Decay] = (0.5, 0.999)
    architecture_decay: Amount = 1e-3
    temperature: Positive = 1.0


@dataclass(frozen=True)
class EvolutionSettings:
    """Constrained evolutionary search (SPOS paper, section 3.4; shared by SPOS and pruning)."""

    population: Count = 50
    generations: Number = 20
    parents: Count = 10
    mutations: Number = 25
    crossovers: Number = 25
    mutation_probability: Share = 0.1
    tries: Number = 10  # attempts for each mutant or crossing that is admissible and new


@dataclass(frozen=True)
class SpaceSettings:
    """SPOS's single-path space: a stem, stages of choice blocks, a 1x1 convolution before the classifier."""

    stem: Width = 16
    stem_stride: Stride = 2
    widths: tuple[Width, ...] = (64, 160, 320, 640)
    repeats: tuple[Depth, ...] = (4, 4, 8, 4)
    strides: tuple[Stride, ...] = (2, 2, 2, 2)
    tail: Width = 1024
    dropout: Decay = 0.1  # before the classifier; part of training, so not of an architecture's text


@dataclass(frozen=True)
class SposSettings:
    """SPOS: single-path one-shot search."""

    space: SpaceSettings
    search: TrainingSettings  # of the supernet's weights
    evolution: EvolutionSettings
    scratch: ScratchSettings
    limit_macs: Macs  # of a candidate
    validation_each: Count  # images a class, in the classes' shares, that are held out of a source to judge candidates
    recalibration: Count  # batches that a candidate's batch-norm statistics are taken from
    bins: tuple[Macs, ...] = ()  # ends of the bins of multiply-adds that paths are drawn from; (): uniform paths
    side: SideOrNone = 0  # side of what the supernet sees; 0: the region
    labels: Labels = "stored"
    temperature: Positive = 3.0


@dataclass(frozen=True)
class MobileSpaceSettings:
    """ProxylessNAS's space: a stem, a fixed block, stages of MBConv blocks, a 1x1 convolution before the classifier.

    The defaults are ProxylessNAS's (its code's, where its published network for phones has 32 for the first width).
    """

    stem: Width = 32
    stem_stride: Stride = 2
    first: Width = 16  # channels behind the fixed block
    widths: tuple[Width, ...] = (24, 40, 80, 96, 192, 320)
    repeats: tuple[Depth, ...] = (4, 4, 4, 4, 4, 1)
    strides: tuple[Stride, ...] = (2, 2, 2, 1, 2, 1)
    tail: Width = 1280
    dropout: Decay = 0.1  # before the classifier; part of training, so not of an architecture's text


@dataclass(frozen=True)
class LatencySettings:
    """How the latency of operators and of whole networks is measured."""

    batch: Count = 1  # images at once
    repeats: Repeats = 25  # measurements, of which the lower quartile is taken
    networks: Annotated[int, within(3, 1000)] = 20  # random networks on which the sum over operators is checked


@dataclass(frozen=True)
class ProxylessSettings:
    """ProxylessNAS: a path-binarised supernet; the architecture parameters are moved by REINFORCE or by gradients."""

    space: MobileSpaceSettings
    warm_up: TrainingSettings  # of the supernet's weights, before the architecture parameters move
    search: TrainingSettings  # of the weights, while they move
    scratch: ScratchSettings
    validation_each: Count  # images a class, in their shares, held out of a source to move the architecture parameters
    updates: Count  # of the architecture parameters, spread evenly over the steps of the search
    delay: Decay = 0.0  # fraction of the steps of the search before the first of them
    update: Literal["reinforce", "gradient"] = "reinforce"  # gradient: of two paths at once
    judged_batch: Several = 1000  # held-out images of an update
    samples: Count = 10  # architectures judged in an update of REINFORCE
    baseline_rate: Share = 0.99  # how far the baseline moves to the mean reward of an update
    architecture_rate: Positive = 1e-3
    architecture_betas: tuple[Decay, Decay] = (0.0, 0.999)
    cost: Literal["macs", "latency"] = "macs"
    reference: Amount = 0.0  # in multiply-adds or milliseconds; 0: the mean over all architectures
    exponent: Amount = 0.1  # of reference / cost in the reward of REINFORCE
    cost_weight: Amount = 0.1  # of (cost - reference) / reference in the loss of the gradient update
    latency: LatencySettings = LatencySettings()
    latency_table: FilePath = ""  # file that `python -m dfnas latency` wrote; "": measured in a stage
    side: SideOrNone = 0  # side of what the supernet sees; 0: the region
    labels: Labels = "stored"
    temperature: Positive = 1.0


@dataclass(frozen=True)
class PruningSettings:
    """Pruning: a PruningNet, searches for widths that keep to windows of cost, and trainings of what they find."""

    network: str  # what is pruned: resnet50, or a CIFAR ResNet such as resnet20
    search: TrainingSettings  # of the PruningNet
    evolution: EvolutionSettings
    windows: tuple[tuple[Macs, Macs], ...]  # multiply-adds that a find costs, from and to; the first's is exported
    genes: tuple[tuple[Number, Number], ...]  # for each window: lowest and highest gene of random candidates
    training: TrainingSettings  # of every network that is compared, from scratch on the synthetic set
    validation_each: Count  # images a class, in the classes' shares, that are held out of a source to judge candidates
    recalibration: Count  # batches that a candidate's batch-norm statistics are taken from
    seeds: Spread = 3  # of each training, but for random encodings: those have one each
    random: Spread = 5  # random encodings for each window
    side: SideOrNone = 0  # side of what all networks see; 0: the region, else the region is shrunk to it
    labels: Labels = "stored"
    temperature: Positive = 1.0
    mixing: Share = 0.0  # online labels: largest share of another image, where what is compared is trained; 0: none


@dataclass(frozen=True)
class DistillationSettings:
    """Distillation: students from the synthetic set alone; the full recipe is the profile's `student`."""

    comparison: StudentSettings  # a cheaper recipe, for the many arms; each arm has labels of its own
    sizes: tuple[Count, ...]  # of parts of the synthetic set, in slots: accuracy against the number of images
    narrow: str  # a narrower student, and one that a search found, by name or text: the same recipe
    searched: str
    seeds: Spread = 3  # of each compared arm
    real_all_seeds: Repeats = 1  # of the full recipe on all real images
    other_temperature: Positive = 1.0  # of one arm, beside the comparison's own temperature
    iterations_share: Part = 0.25  # of the iterations, for the set that is made in less time


@dataclass(frozen=True)
class ConsistencySettings:
    """Consistency: random architectures, ranked by what they reach when they learn from each source."""

    training: TrainingSettings  # of each DARTS architecture, on every source
    architectures: Number = 0  # random DARTS architectures, each trained on every source; 0: leave this part out
    trainings: Repeats = 1  # of each on real data: the others are compared with the ranking by their mean
    channels: Width = 16
    cells: Depth = 8
    side: SideOrNone = 0  # side of what the networks see; 0: the region
    temperature: Positive = 1.0  # of the loss on soft labels
    test_images: Number = 0  # real test images that judge a network, the classes in equal shares; 0: all
    # Share of a source without real data that judges networks too, and trains none; 0: all train, a tenth judges too.
    held_out: Decay = 0.1
    candidates: Number = 0  # random SPOS paths, judged by the supernets of the SPOS chapter; 0: leave this part out
    supernets: Repeats = 1  # of each source, by seeds from the run's on; another supernet could rank otherwise
    whole_real: bool = False  # whether supernets of real data learn from all of it: not from as many as the set has
    validation_images: Number = 1000  # real validation images that judge a path too; 0: all
    resamples: Annotated[int, within(1, 1_000_000)] = 2000  # of the bootstrap


@dataclass(frozen=True)
class MixtureSettings:
    """DARTS in the space of a table: both halves of a source have the batch of `search`."""

    search: TrainingSettings  # of the supernet's weights
    order: Literal["first"] = "first"
    architecture_rate: Positive = 3e-4
    architecture_betas: tuple[Decay, Decay] = (0.5, 0.999)
    architecture_decay: Amount = 1e-3


@dataclass(frozen=True)
class PolicySettings:
    """REINFORCE over the architectures of a table, rewarded by a supernet's scores."""

    updates: Count = 100
    samples: Count = 8  # architectures that are drawn for an update
    rate: Positive = 0.1  # Adam's
    baseline_rate: Share = 0.1  # how far the baseline moves to the mean reward of an update


@dataclass(frozen=True)
class TruthSettings:
    """Truth: supernets and short trainings on each source, against a table of full trainings."""

    training: TrainingSettings  # of the supernets' weights, a uniform path a step
    scratch: TrainingSettings  # of single architectures, for seconds
    full: TrainingSettings  # of single architectures, to the end on real images, where no table is given
    evolution: EvolutionSettings
    darts: MixtureSettings
    reinforce: PolicySettings = PolicySettings()
    table: FilePath = ""  # a CSV file: architecture, accuracy, macs, parameters; "": cells that are trained here
    trained: Annotated[int, within(3, 10_000)] = 24  # cells of a table that is made here
    architectures: Ranked = 500  # of the table's, drawn at random, that are judged; 0: all
    scratch_architectures: Annotated[int, within(3, 10**9)] = 100  # of these, that are trained from scratch too
    seeds: Spread = 5  # supernets of a source; on each, or beside each, one search of each kind
    seeds_soft: Spread = 3  # of real images with soft labels, which no claim compares; plain noise has one
    channels: Width = 16  # NAS-Bench-201: channels of the first stage, and cells of each of the three
    cells: Depth = 5
    held_out: Part = 0.1  # share of a source's images that architectures are judged by
    recalibration: Count = 8  # batches that an architecture's batch-norm statistics are taken from
    side: SideOrNone = 0  # side of what the networks see; 0: the region
    labels: Labels = "stored"  # of the supernets
    temperature: Positive = 1.0
    resamples: Annotated[int, within(1, 1_000_000)] = 2000  # of the bootstrap


@dataclass(frozen=True)
class KernelsSettings:
    """Kernels: what is measured, by files of benchmarks/; (): all of it."""

    benchmarks: tuple[Benchmark, ...] = ()
    pairs: Repeats = 5  # timings of plain and ours, in turn, that a ratio is the median of


@dataclass(frozen=True)
class OwnNetworkSettings:
    """The whole way for the small network that ships, where it is shorter than the profile's chapters."""

    images: Count
    student_steps: Count
    supernet_steps: Count
    random: Spread  # architectures beside what is found


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
    truth: TruthSettings = None  # type: ignore[assignment]
    proxylessnas: ProxylessSettings = None  # type: ignore[assignment]
    pruning: PruningSettings = None  # type: ignore[assignment]
    distillation: DistillationSettings = None  # type: ignore[assignment]
    kernels: KernelsSettings = None  # type: ignore[assignment]
    own_network: OwnNetworkSettings = None  # type: ignore[assignment]
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
