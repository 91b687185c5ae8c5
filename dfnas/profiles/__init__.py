"""Every hyper-parameter of the book, as frozen dataclasses; one file a profile.

A value from the paper cites its section there (A: the appendix); a value that the paper leaves open says so, with
the source of the default.
"""

from dfnas.profiles.resolve import NAMES, load, overrides_digest, require_chapter, to_dict
from dfnas.profiles.settings import (
    CHAPTERS,
    CalibrationSettings,
    ConsistencySettings,
    DartsSettings,
    DataSettings,
    DistillationSettings,
    EvaluationSettings,
    EvolutionSettings,
    KernelsSettings,
    LatencySettings,
    MobileSpaceSettings,
    ProxylessSettings,
    PruningSettings,
    RunSettings,
    ScratchSettings,
    Settings,
    SpaceSettings,
    SposSettings,
    StudentSettings,
    SynthesisSettings,
    TabularSettings,
    TeacherSettings,
    TrainingSettings,
)

__all__ = [
    "CHAPTERS",
    "NAMES",
    "CalibrationSettings",
    "ConsistencySettings",
    "DartsSettings",
    "DataSettings",
    "DistillationSettings",
    "EvaluationSettings",
    "EvolutionSettings",
    "KernelsSettings",
    "LatencySettings",
    "MobileSpaceSettings",
    "ProxylessSettings",
    "PruningSettings",
    "RunSettings",
    "ScratchSettings",
    "Settings",
    "SpaceSettings",
    "SposSettings",
    "StudentSettings",
    "SynthesisSettings",
    "TabularSettings",
    "TeacherSettings",
    "TrainingSettings",
    "load",
    "overrides_digest",
    "require_chapter",
    "to_dict",
]
