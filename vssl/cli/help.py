"""Help: from the commands, the folders of configurations and the source of constructors; no class is imported."""

import textwrap
from collections.abc import Iterable, Sequence

from vssl.cli.arguments import HELP, TRACEBACK, Arguments
from vssl.cli.command import Command, Key
from vssl.config.errors import ConfigError
from vssl.config.folders import ConfigFolders, read_yaml
from vssl.config.overrides import SET_GROUP, Choice, Member, read_overrides
from vssl.config.sets import GROUP
from vssl.config.signatures import describe

WIDTH = 110
NOT_COMPOSED = ("bench", "sweep")  # groups of whole recipes, each with a command of its own
LAUNCHING = ("bench", "sweep")

KEYS = (
    ("seed", "of the training: weights, order, augmentation"),
    ("clip.frames|stride|size", "what the backbone is built for and what evaluation reads"),
    ("budget.epochs|steps|samples|clips|flops|seconds", "exactly one; yours replaces that of a file"),
    ("train.batch_size", "clips in an optimiser step, over all devices and micro-batches"),
    ("train.accumulate|precision|compile|strategy", "how a step is computed"),
    ("run.out|name", "folder of all runs, and the run's folder in it"),
    ("run.workers|threads|device|devices", "how fast; in no hash"),
    ("data.root|manifest|label|decoder|flip_safe|...", "the files, what is read from them"),
    ("data.sets.<name>=CHOICE data.weights.*", "data=mix: several data sets in one training"),
    ("views.<view>.*", "each named view: frames, stride, size, augment, ..."),
    ("method.* backbone.* optim.* eval.<name>.*", "as the constructors name them: add `group=choice --help`"),
    ("trainer.*", "passed on to Lightning's Trainer"),
)
FLAGS = {
    "--config-dir DIR": "a folder of your own groups and choices, beside the packaged ones; may be repeated",
    "--dry-run": "check everything that can be checked, start nothing",
    "--diff A B": "two runs side by side",
    "--yes": "do it without asking",
    "--traceback": "show where in the code an error arose",
    "--help": "this text; with group=choice also the arguments of that choice",
}


def overview(commands: Iterable[Command]) -> str:
    """`vssl --help`."""
    lines = [
        "vssl: compare self-supervised methods for video on the same clips, budget and evaluation",
        "",
        "usage: vssl COMMAND [FIRST] [key=value ...] [--flags]",
        "",
        _section("commands (vssl COMMAND --help tells more)", [(each.name, each.summary) for each in commands]),
        _groups(ConfigFolders.find(), LAUNCHING),
        _section("keys", KEYS),
        _section("flags", [*FLAGS.items(), ("--version", "the version of vssl")]),
        _examples(("vssl bench quick", "vssl pretrain method=simsiam scale=smoke", "vssl table runs")),
    ]
    return "\n".join(lines)


def command_help(command: Command, arguments: Arguments) -> str:
    """`vssl COMMAND [group=choice ...] --help`."""
    words = ["vssl", command.name, *([f"[{command.first}]"] if command.first else [])]
    words += ["|".join(_word(part, command) for part in command.parts)] if command.parts else []
    words += [f"[{key}=PATH]" for key in command.paths]
    words += ["[key=value ...]"] if command.configured or command.keys else []
    lines = [
        f"vssl {command.name}: {command.summary}",
        "",
        f"usage: {' '.join([*words, '[--flags]'])}",
        "",
        _wrapped(command.description),
        "",
    ]
    if command.parts:
        title = f"parts (vssl {command.name} PART --help tells more)"
        lines.append(_section(title, [(_word(part, command), part.summary) for part in command.parts]))
    if command.keys:
        lines.append(_section("keys", [(key.name, f"{key.told}{_default(key)}") for key in command.keys]))
    chosen: list[str] = []
    if command.configured:
        folders = ConfigFolders.find(arguments.config_dirs)
        if command.name in folders.groups:
            lines.append(_section(f"{command.first} is one of", [(name, "") for name in folders.choices(command.name)]))
        lines += [_groups(folders, (command.name,)), _section("keys", KEYS)]
        chosen = _chosen(arguments, folders)
    taken = (*HELP, TRACEBACK, *command.flags)
    flags = [(flag, told) for flag, told in FLAGS.items() if flag.split()[0] in taken]
    return "\n".join([*lines, _section("flags", flags), _examples(command.examples), *chosen])


def _word(part: Command, command: Command) -> str:
    return part.name.removeprefix(f"{command.name} ")


def _default(key: Key) -> str:
    name = key.name.rpartition(".")[2]
    (default,) = (argument.default for argument in describe(key.target).arguments if argument.name == name)
    return "" if default in (None, "None") else f" (default {default})"


def _groups(folders: ConfigFolders, commands: Iterable[str]) -> str:
    """Every group and its choices that one of `commands` takes."""
    hidden = NOT_COMPOSED if {*commands} & {*LAUNCHING} else (*NOT_COMPOSED, "launcher")
    rows = []
    in_order = [group for group in folders.defaults if group in folders.groups]
    others = [group for group in folders.groups if group not in in_order]
    for group in [group for group in (*in_order, *others) if group not in hidden]:
        default = folders.defaults.get(group)
        defaults = default if isinstance(default, list) else [default]
        rows.append((group, ", ".join(f"{name}*" if name in defaults else name for name in folders.choices(group))))
    return _section(f"groups (group=choice; * is the default; {SET_GROUP} takes several: {SET_GROUP}=a,b)", rows)


def _chosen(arguments: Arguments, folders: ConfigFolders) -> list[str]:
    """A section for every `group=choice` given, with the arguments of its constructor."""
    sections = []
    for override in read_overrides(arguments.overrides, folders):
        if isinstance(override, Choice):
            group = override.group
            keys = {name: f"{group}.{name}" if group == SET_GROUP else group for name in override.names}
            sections += [_choice(group, name, key, folders) for name, key in keys.items()]
        elif isinstance(override, Member):
            sections.append(_choice(GROUP, override.choice, override.key, folders))
    return ["", *sections] if sections else []


def _choice(group: str, name: str, key: str, folders: ConfigFolders) -> str:
    file = folders.files[group][name]
    node = read_yaml(file)
    target = node.get("_target_")
    if target is None:
        return _section(f"{group}={name} ({file})", [("", "sets values of several nodes; see the file")])
    try:
        described = describe(target)
    except ConfigError as error:
        return _section(f"{group}={name}: {target}", [("", str(error))])
    rows = []
    for argument in described.arguments:
        given = node.get(argument.name, argument.default)
        value = "  must be given" if given is None and argument.default is None else f" = {given}"
        rows.append((f"{key}.{argument.name}", f"{argument.annotation}{value}"))
    title = f"arguments of {group}={name}, {target}"
    return "\n".join([*filter(None, [described.summary]), _section(title, rows or [("", "none")])])


def _wrapped(text: str, first: str = "", rest: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def _section(title: str, rows: Iterable[tuple[str, str]]) -> str:
    rows = list(rows)
    column = min(46, max((len(left) for left, _ in rows), default=0))
    lines = [f"{title}:"]
    for left, right in rows:
        head = f"  {left:<{column}}  "
        lines.append(_wrapped(right, head, " " * len(head)) if right else head)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _examples(examples: Sequence[str]) -> str:
    return "examples:\n" + "\n".join(f"  {example}" for example in examples)
