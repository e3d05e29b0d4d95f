import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.adaptation import HeadConfig
from tailornas.config import RunConfig, SourceConfig, StandaloneConfig, read_config, to_toml
from tailornas.data import AugmentConfig, DataConfig
from tailornas.errors import ConfigError, TailorNASError
from tailornas.losses import ScheduleConfig
from tailornas.search import Limits, SearchConfig
from tailornas.spaces import NASBench201Config, space_config
from tailornas.training import PUBLISHED_RECIPE, DeviceConfig, OptimizerConfig, PretrainConfig, TrainConfig

OTHER = RunConfig(
    seed=7,
    time_limit=5400.0,
    init="inherit",
    device=DeviceConfig(accelerator="cpu", precision="bf16", threads=2),
    data=DataConfig(data="cifar10", data_dir=Path("/data/sets"), profile="step", imbalance_factor=50, flip=False),
    source=SourceConfig(data="cifar100", data_dir=Path("more data")),
    space=NASBench201Config(channels=8, cells_per_stage=3),
    limits=Limits(macs=15_000_000, params=300_000, latency_ms=2.5),
    augment=AugmentConfig(crop=False, flip=True, cutout=4),
    pretrain=PretrainConfig(epochs=3, batch_size=64, optimizer=OptimizerConfig(learning_rate=0.025, nesterov=False)),
    adapt=HeadConfig(epochs=2, class_weights="inverse"),
    search=SearchConfig(population=30, generations=5),
    train=TrainConfig(
        epochs=9,
        loss="focal",
        loss_settings={"gamma": 1.5},
        class_weights=(1.0, 2.0),
        schedule=ScheduleConfig(name="drw", start=0.5),
    ),
)


def read_toml(folder: Path, text: str, *assignments: str, **flags: Any) -> RunConfig:
    file = folder / "run.toml"
    file.write_text(text)
    return read_config(RunConfig, file, assignments, flags)


def message_of(*assignments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_config(RunConfig, assignments=assignments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_option_can_be_a_list() -> None:
    for flag in ("[1, 2.5, 3]", "[1.0,2.5,3.0]"):
        read = read_config(RunConfig, flags={"train.class_weights": flag})
        assert read.train.class_weights == (1.0, 2.5, 3.0)
    with pytest.raises(ConfigError, match=r"train\.class_weights: .*, got '\[1, many\]'"):
        read_config(RunConfig, flags={"train.class_weights": "[1, many]"})


@pytest.mark.parametrize(
    ("assignments", "section"),
    [
        (["adapt.schedule.name=drw", "adapt.schedule.start=1.5"], "adapt.schedule"),
        (["pretrain.head=square"], "pretrain"),
        (["adapt.head=etf"], "adapt"),
        (["train.second_stage.name=lws", "train.second_stage.loss=ldam"], "train.second_stage"),
        (["data.profile=as-is", "data.imbalance_factor=5"], "data"),
    ],
)
def test_what_contradicts_itself_is_told_with_its_section(assignments: list[str], section: str) -> None:
    message = message_of(*assignments)
    assert message.startswith(f"{section}: "), message
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        read_config(RunConfig, flags=dict(assignment.split("=") for assignment in assignments))


def test_nothing_given_is_the_default() -> None:
    assert read_config(RunConfig) == RunConfig()
    assert read_config(RunConfig, None, (), {}) == RunConfig()


NONE = RunConfig(
    adapt=HeadConfig(class_weights=None, optimizer=OptimizerConfig(clip_norm=None)),
    train=TrainConfig(optimizer=OptimizerConfig(clip_norm=None)),
)


@pytest.mark.parametrize("config", [RunConfig(), OTHER, NONE])
def test_written_and_read_again(tmp_path: Path, config: RunConfig) -> None:
    text = to_toml(config)
    assert read_toml(tmp_path, text) == config
    assert to_toml(read_toml(tmp_path, text)) == text


def test_what_is_written_spells_out_every_value() -> None:
    tree = tomllib.loads(to_toml(RunConfig()))
    assert tree["pretrain"]["optimizer"]["learning_rate"] == 0.1
    assert tree["search"]["population"] == 20
    assert "time_limit" not in tree
    assert tomllib.loads(to_toml(OTHER))["limits"] == {"macs": 15_000_000, "params": 300_000, "latency_ms": 2.5}


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**53),
    limit=st.floats(0.001, 1e9),
    rate=st.floats(1e-9, 1e3),
    folder=st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20),
)
def test_any_numbers_and_paths_survive_writing_and_reading(seed: int, limit: float, rate: float, folder: str) -> None:
    config = RunConfig(
        seed=seed,
        time_limit=limit,
        data=DataConfig(data=folder, profile="as-is"),
        train=TrainConfig(optimizer=OptimizerConfig(learning_rate=rate)),
    )
    assert RunConfig.model_validate(tomllib.loads(to_toml(config))) == config


@pytest.mark.parametrize("config", [StandaloneConfig(), StandaloneConfig(train=TrainConfig(epochs=1, head="cosine"))])
def test_a_training_survives_writing_and_reading(tmp_path: Path, config: StandaloneConfig) -> None:
    """What the published recipe sets, and this one does not, has to be written as none."""
    file = tmp_path / "train.toml"
    unclipped = config.train.model_copy(update={"optimizer": OptimizerConfig(clip_norm=None)})
    for one in (config, config.model_copy(update={"train": unclipped})):
        file.write_text(to_toml(one))
        assert read_config(StandaloneConfig, file) == one


CELL = "nasbench201:|skip_connect~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def test_the_space_of_a_training_is_its_backbones(tmp_path: Path) -> None:
    config = read_config(StandaloneConfig, None, [f"backbone.name={CELL}", "space.channels=8"])
    assert config.space == space_config("nasbench201", {"channels": 8})
    bare = read_config(StandaloneConfig, None, [f"backbone.name={CELL}"])
    assert bare.space == space_config("nasbench201", {})
    (tmp_path / "train.toml").write_text(to_toml(config))
    assert read_config(StandaloneConfig, tmp_path / "train.toml") == config
    with pytest.raises(ConfigError, match="space 'nasbench201' has no parameter 'depths'"):
        read_config(StandaloneConfig, None, [f"backbone.name={CELL}", "space.depths=[1]"])
    other = read_config(StandaloneConfig, None, [f"backbone.name={CELL}", "space.name=darts"])
    assert other.space == space_config("darts", {})  # refused where the network is built
    assert read_config(StandaloneConfig).space is None


def test_none_is_a_word_where_a_key_may_be_none(tmp_path: Path) -> None:
    tree = tomllib.loads(to_toml(NONE))
    assert (tree["adapt"]["class_weights"], tree["train"]["optimizer"]["clip_norm"]) == ("none", "none")
    assert "clip_norm" in tree["pretrain"]["optimizer"]
    assert "class_weights" not in tree["train"]  # none by default
    given = read_toml(
        tmp_path, '[adapt]\nclass_weights = "none"\n', "train.optimizer.clip_norm=none", time_limit="none"
    )
    assert (given.adapt.class_weights, given.train.optimizer.clip_norm, given.time_limit) == (None, None, None)
    assert read_config(StandaloneConfig, assignments=["space=none"]).space is None
    assert read_config(RunConfig, assignments=["augment.policy=none"]).augment.policy == "none"
    assert "seed: " in message_of("seed=none")


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        (["train.schedule=none"], {"train.schedule.name": "none"}),
        (
            ["train.schedule=drw", "train.schedule.start=0.5"],
            {"train.schedule.name": "drw", "train.schedule.start": 0.5},
        ),
        (
            ["train.schedule.start=0.5", "train.schedule=drs"],
            {"train.schedule.name": "drs", "train.schedule.start": 0.5},
        ),
        (
            ["train={schedule='drw'}", "train.schedule.start=0.5"],
            {"train.schedule.name": "drw", "train.schedule.start": 0.5},
        ),
        (["train.mix=mixup"], {"train.mix.name": "mixup"}),
        (["train.second_stage=crt", "train.second_stage=ncm"], {"train.second_stage.name": "ncm"}),
        (["space=darts", "space.cells=5"], {"space.name": "darts", "space.cells": 5}),
    ],
)
def test_a_text_for_a_section_is_its_name(tmp_path: Path, assignments: list[str], expected: dict[str, Any]) -> None:
    config = read_config(RunConfig, flags=expected)
    assert read_config(RunConfig, assignments=assignments) == config
    first, *others = assignments
    key, _, value = first.partition("=")
    text = value if value[0] in "0123456789{" else repr(value)
    assert read_toml(tmp_path, f"{key} = {text}\n", *others) == config
    assert read_config(StandaloneConfig, assignments=["backbone=resnet20"]).backbone.name == "resnet20"


@pytest.mark.parametrize("off", ["train.schedule=none", "train.schedule.name=none"])
def test_a_section_of_a_file_is_switched_off_whole(tmp_path: Path, off: str) -> None:
    file = '[train]\nbatch_size = 32\n[train.schedule]\nname = "drw"\nstart = 0.5\n'
    config = read_toml(tmp_path, file, off)
    assert config.train.schedule == ScheduleConfig()
    assert config.train.batch_size == 32
    assert read_toml(tmp_path, file, "train.schedule=drs").train.schedule == ScheduleConfig(name="drs", start=0.5)
    # What is told beside it on the command line is a mistake of the same person.
    assert "does not use 'start' and got 0.5" in message_of("train.schedule.start=0.5", off)


def test_a_table_replaces_that_of_a_file(tmp_path: Path) -> None:
    file = '[train]\nbatch_size = 32\nloss = "focal"\nloss_settings = { gamma = 3.0 }\n'
    config = read_toml(tmp_path, file, "train.loss=ldam", "train.loss_settings={scale=20.0}")
    assert (config.train.loss_settings, config.train.batch_size) == ({"scale": 20.0}, 32)
    assert read_toml(tmp_path, file, "train={schedule='none'}").train.loss == "ldam"


def test_a_text_that_is_no_name_of_the_section() -> None:
    assert message_of("train.schedule=later").startswith("train.schedule: unknown schedule 'later': expected one of")
    assert message_of("train.optimizer=sgd").startswith("train.optimizer: ")
    assert message_of("data.data=x", "data.data.name=y") == "data.data.name: data is a value, not a section"


@pytest.mark.parametrize("section", ["pretrain", "train", "train.second_stage"])
def test_no_class_weights_under_a_schedule_that_brings_some_in(tmp_path: Path, section: str) -> None:
    stage = ["train.second_stage=crt"] if "second" in section else []
    drw, none = f"{section}.schedule=drw", f"{section}.class_weights=none"
    message = (
        f"{section}.class_weights: expected weights that schedule 'drw' can bring in, got none: leave them out for "
        f"'auto', or set {section}.schedule to none"
    )
    assert message_of(*stage, drw, none) == message
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        read_toml(tmp_path, f'[{section}]\nclass_weights = "none"\n', *stage, drw)
    assert read_config(RunConfig, assignments=[*stage, none, f"{section}.schedule=none"])
    if section == "train":  # the default loss brings its schedule
        assert message_of(none) == message


def test_a_configuration_that_was_written_is_taken_whatever_its_weights(tmp_path: Path) -> None:
    """The adaptation's are none where its loss balances the classes, and are written so."""
    config = read_config(RunConfig, assignments=["adapt.loss=balanced_softmax", "adapt.schedule=drw"])
    assert 'class_weights = "none"' in to_toml(config)
    assert read_toml(tmp_path, to_toml(config)) == config


def test_adaptation_by_a_loss_with_weights_of_its_own_has_no_others(tmp_path: Path) -> None:
    config = read_config(RunConfig, assignments=["adapt.loss=class_balanced_focal"])
    assert config.adapt.class_weights is None
    assert HeadConfig(loss="focal").class_weights == HeadConfig().class_weights == "effective"
    assert read_toml(tmp_path, to_toml(config)) == config
    assert "has class weights of its own" in message_of(
        "adapt.loss=class_balanced_focal", "adapt.class_weights=effective"
    )


def test_later_sources_win(tmp_path: Path) -> None:
    text = "seed = 1\n[search]\npopulation = 10\ngenerations = 11\nbatch_size = 12\n"
    config = read_toml(tmp_path, text, "search.generations=21", "search.batch_size=22", **{"search.batch_size": "32"})
    assert config.seed == 1
    assert (config.search.population, config.search.generations, config.search.batch_size) == (10, 21, 32)
    assert read_config(RunConfig, assignments=["seed=1", "seed=2"]).seed == 2


def test_flags_are_text_as_the_shell_gives_them() -> None:
    flags = {
        "seed": "3",
        "time_limit": "1h30m",
        "limits.macs": "15M",
        "data.imbalance_factor": "50",
        "data.data": "123",
    }
    config = read_config(RunConfig, flags=flags)
    assert (config.seed, config.time_limit, config.limits.macs) == (3, 5400.0, 15_000_000)
    assert (config.data.imbalance_factor, config.data.data) == (50.0, "123")


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("data.data=./my images", "./my images"),
        ('data.data="./my images"', "./my images"),
        ("data.data='1'", "1"),
        (" data.data = cifar10 ", "cifar10"),
        ("data.data=a=b", "a=b"),
        ("time_limit=30m", 1800.0),
        ("time_limit=30", 30.0),
        ("limits.macs=1.5M", 1_500_000),
        ("data.skip_bad=true", True),
        ("search.population=30", 30),
        ("train.optimizer.learning_rate=1e-3", 0.001),
        ("train.loss_settings.gamma=2", {"gamma": 2.0}),
        ('train.schedule={name="drw", start=0.5}', ScheduleConfig(name="drw", start=0.5)),
        ("train.schedule.name=drs", ScheduleConfig(name="drs")),
        ("adapt.class_weights=inverse", "inverse"),
    ],
)
def test_assignments_are_toml_or_else_text(assignment: str, value: object) -> None:
    key = assignment.partition("=")[0].strip()
    extra = ["train.loss=focal"] if "loss_settings" in key else []
    found: Any = read_config(RunConfig, assignments=[*extra, assignment])
    for name in key.replace(".gamma", "").replace("schedule.name", "schedule").split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    ("assignment", "key", "known"),
    [
        ("sead=1", "sead", "method, seed, time_limit, init, device, data"),
        ("search.popular=1", "search.popular", "population, generations"),
        ("train.optimizer.lr=1", "train.optimizer.lr", "learning_rate, momentum"),
        ("train.schedule.begin=1", "train.schedule.begin", "name, start"),
        ("nothing.at.all=1", "nothing", "method, seed"),
    ],
)
def test_unknown_keys_are_named_in_full_with_the_known_ones(assignment: str, key: str, known: str) -> None:
    assert message_of(assignment).startswith(f"unknown configuration key {key!r}: expected one of {known}")


@pytest.mark.parametrize(
    ("assignment", "question"),
    [
        ("sead=1", "; did you mean 'seed'?"),
        ("search.popular=1", "; did you mean 'search.population'?"),
        ("macs=1", "; did you mean 'limits.macs'?"),
        ("population=1", "; did you mean 'search.population'?"),
        ("second_stage.name=crt", "; did you mean 'train.second_stage'?"),
        ("nothing.at.all=1", ", groups"),
    ],
)
def test_unknown_keys_that_look_like_known_ones_end_in_a_question(assignment: str, question: str) -> None:
    assert message_of(assignment).endswith(question)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("sead = 1", "sead"),
        ("[serach]\npopulation = 3", "serach"),
        ("[search]\npopular = 3", "search.popular"),
        ("[pretrain.optimizer]\nlr = 3", "pretrain.optimizer.lr"),
    ],
)
def test_unknown_keys_in_a_file(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigError, match=f"^unknown configuration key '{re.escape(key)}': expected one of"):
        read_toml(tmp_path, text)


@pytest.mark.parametrize(
    ("assignment", "pattern"),
    [
        ("seed=-1", r"seed: .*greater than or equal to 0, got -1"),
        ("seed=one", r"seed: .*integer.*, got 'one'"),
        ("search.population=1.5", r"search\.population: .*integer.*, got 1\.5"),
        ("search.population=1", r"search\.population: .*greater than or equal to 2, got 1"),
        ("search.population=many", r"search\.population: .*integer.*, got 'many'"),
        ("pretrain.optimizer.learning_rate=0", r"pretrain\.optimizer\.learning_rate: .*greater than 0, got 0"),
        ("time_limit=soon", r"time_limit: expected a duration such as 90s, 30m or 1h30m, got 'soon'"),
        ("limits.macs=much", r"limits\.macs: expected a number with an optional k, M or G, such as 15M, got 'much'"),
        ("limits.macs=0", r"limits\.macs: .*greater than 0, got 0"),
        ("data.imbalance_factor=0.5", r"data\.imbalance_factor: .*greater than or equal to 1, got 0\.5"),
        ("data.profile=log", r"data\.profile: .*'exp'.*, got 'log'"),
        ("device.precision=fp16", r"device\.precision: .*'bf16'.*, got 'fp16'"),
        ("method=random", r"method: .*'imb-nas'.*, got 'random'"),
        ("search=3", r"search: .*, got 3"),
        ("train.schedule=3", r"train\.schedule: .*, got 3"),
    ],
)
def test_wrong_values_are_named_in_full(assignment: str, pattern: str) -> None:
    assert re.fullmatch(pattern, message_of(assignment))


@pytest.mark.parametrize(
    ("assignment", "pattern"),
    [
        ("space.name=nasbench301", r"space: unknown space 'nasbench301': expected one of .*nasbench201.*"),
        ("train.loss=lmad", r"train: unknown loss 'lmad': expected one of .*ldam.*"),
        ("train.schedule.name=later", r"train\.schedule: unknown schedule 'later': expected one of .*drw.*"),
        ("train.class_weights=heavy", r"train: unknown weighting 'heavy': expected one of .*inverse.*"),
        ("adapt.class_weights=heavy", r"adapt: unknown weighting 'heavy': expected one of .*inverse.*"),
        ("train.loss_settings.speed=3", r".*'speed'.*"),
    ],
)
def test_unknown_names_are_refused_at_once(assignment: str, pattern: str) -> None:
    """Not when a stage that needs them begins, hours later."""
    assert re.fullmatch(pattern, message_of(assignment))


@pytest.mark.parametrize(
    "key",
    [
        "time_limit",
        "limits.latency_ms",
        "data.imbalance_factor",
        "pretrain.optimizer.learning_rate",
        "pretrain.optimizer.weight_decay",
        "pretrain.optimizer.clip_norm",
    ],
)
@pytest.mark.parametrize("number", ["nan", "inf"])
def test_numbers_that_are_not_finite_are_refused(key: str, number: str) -> None:
    """No plan and no fingerprint can be made of them."""
    assert message_of(f"{key}={number}").startswith(f"{key}: ")


@pytest.mark.parametrize(
    ("assignment", "pattern"),
    [
        ("train.loss_settings.scale=inf", r"train\.loss_settings\.scale: .*finite.*"),
        ("train.schedule={name='drw', start=nan}", r".*nan.*"),
        ("train.class_weights=[1.0, inf]", r"train\.class_weights: .*inf.*"),
        ("train.class_weights=3", r"train\.class_weights: .*, got 3.*"),
    ],
)
def test_wrong_values_where_more_than_one_type_is_allowed(assignment: str, pattern: str) -> None:
    """The path is that of the key, without the names that the types have in the code."""
    assert re.fullmatch(pattern, message_of(assignment))


def test_several_mistakes_name_the_first_and_count_the_others() -> None:
    message = message_of("search.population=1", "seed=-1", "train.epochs=0")
    assert re.fullmatch(r"seed: .*, got -1 \(2 more\)", message)


@pytest.mark.parametrize("assignment", ["seed", "", "=", "=3", " = 3"])
def test_what_is_not_an_assignment(assignment: str) -> None:
    assert message_of(assignment) == f"expected stage.field=value, got {assignment!r}"


@pytest.mark.parametrize("assignment", [".=3", "seed.=3", ".seed=3", "search..population=3", "a.b.c.d=3"])
def test_keys_that_are_no_path(assignment: str) -> None:
    assert message_of(assignment)


def test_a_section_that_is_a_value() -> None:
    assert message_of("seed=1", "seed.more=3") == "seed.more: seed is a value, not a section"


@settings(deadline=None, max_examples=200)
@given(assignments=st.lists(st.text(st.sampled_from("seachtrin.=0123[]{}'\"\\# \n-_"), max_size=24), max_size=2))
def test_any_assignment_is_taken_or_refused_in_one_line(assignments: list[str]) -> None:
    try:
        read_config(RunConfig, assignments=assignments)
    except TailorNASError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("text", ["seed = ", "seed == 1", "[search\npopulation = 1", "seed = 1\nseed = 2", "\x00"])
def test_a_file_that_is_not_toml(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.toml is not TOML: ") as caught:
        read_toml(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"run\.toml is not TOML: "):
        read_config(RunConfig, file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^cannot read the configuration .*none\.toml: No such file or directory$"):
        read_config(RunConfig, tmp_path / "none.toml")


def test_a_folder_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^cannot read the configuration .*: Is a directory$"):
        read_config(RunConfig, tmp_path)


@pytest.mark.parametrize("model", [RunConfig, StandaloneConfig])
@pytest.mark.parametrize("section", ["pretrain", "adapt", "train", "train.second_stage"])
def test_one_key_of_an_optimizer_changes_nothing_else(model: type[RunConfig | StandaloneConfig], section: str) -> None:
    if section.split(".")[0] not in model.model_fields:
        return
    named = {"train.second_stage.name": "crt"} if "second" in section else {}
    before = read_config(model, flags=named).model_dump()
    after = read_config(model, None, [f"{section}.optimizer.learning_rate=0.0625"], named).model_dump()
    part = before
    for name in section.split("."):
        part = part[name]
    part["optimizer"]["learning_rate"] = 0.0625
    assert after == before


def test_training_alone_changes_keys_of_the_published_recipe_and_needs_a_number_of_epochs() -> None:
    assert StandaloneConfig().train == PUBLISHED_RECIPE
    expected = {**PUBLISHED_RECIPE.model_dump(), "loss": "cross_entropy"}
    assert read_config(StandaloneConfig, None, ["train.loss=ce"]).train.model_dump() == expected
    with pytest.raises(
        ConfigError, match=r"^train\.epochs: expected a number, got none, which only a search can plan: gi"
    ):
        StandaloneConfig(train=TrainConfig(loss="ce"))
    assert StandaloneConfig(train=TrainConfig(loss="ce", epochs=3)).train.epochs == 3


def test_contradictions_between_keys() -> None:
    assert "has no effect with profile 'as-is'" in message_of("data.profile=as-is", "data.imbalance_factor=10")
    assert "has class weights of its own" in message_of("train.loss=class_balanced_focal", "train.schedule.name=drw")


def test_configurations_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().seed = 3  # type: ignore[misc]


def test_a_training_that_keeps_no_images_to_choose_by_takes_no_share_of_them(tmp_path: Path) -> None:
    share = "data.selection_fraction=0.4"
    with pytest.raises(ConfigError, match=r"^data\.selection_fraction 0\.4 has no effect .*--evaluate-on selection\)$"):
        read_config(StandaloneConfig, None, [share])
    assert read_config(StandaloneConfig, None, [share, "evaluate_on=selection"]).data.selection_fraction == 0.4
    (tmp_path / "train.toml").write_text(to_toml(StandaloneConfig()))  # which has the share's default
    assert read_config(StandaloneConfig, tmp_path / "train.toml") == StandaloneConfig()
