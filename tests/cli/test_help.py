"""Help is complete, comes at once and imports neither torch nor Hydra."""

import subprocess
import sys
import time

import pytest

from vssl.cli import main as cli
from vssl.cli.help import KEYS
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import ConfigError
from vssl.config.folders import ConfigFolders


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(words) == 0
    return capsys.readouterr().out


def test_the_overview_names_every_command_group_and_choice(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "--help")
    folders = ConfigFolders.find()
    for command in cli.COMMANDS.values():
        assert f"  {command.name} " in text
        assert command.summary in text
    for group in set(folders.groups) - {"bench", "sweep"}:
        for choice in folders.choices(group):
            assert choice in text


EVERY = {each.name: each for command in cli.COMMANDS.values() for each in (command, *command.parts)}


@pytest.mark.parametrize("name", EVERY)
def test_every_command_has_description_usage_flags_and_three_examples(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    text = shown(capsys, *name.split(), "--help")
    command = EVERY[name]
    assert command.description[:60] in text
    assert f"usage: vssl {name}" in text
    assert len(command.examples) == 3
    for example in command.examples:
        assert f"  {example}" in text
    for flag in ("--dry-run", "--config-dir"):
        assert (f"  {flag} " in text) == (flag in command.flags)
    assert ("method " in text) == command.configured
    for key in command.keys:
        assert f"  {key.name} " in text
    for part in command.parts:
        assert part.summary in text


@pytest.mark.parametrize("name", EVERY)
def test_examples_are_read_as_they_stand(name: str) -> None:
    for example in EVERY[name].examples:
        for part in example.split(" && "):
            words = [word for word in part.split() if not word.isupper() and not word.startswith("VSSL_")]
            assert words[0] == "vssl"
            other, rest = cli.chosen(cli.COMMANDS[words[1]], words[2:])
            cli.read_arguments(
                other.name, rest, first=other.first, own_paths=other.paths, configured=other.configured,
                flags=other.flags, own_keys=[key.name for key in other.keys],
            )  # fmt: skip


def test_the_keys_are_those_of_the_configuration() -> None:
    bound = bind(compose(["data=video_list"], paths={"data.root": "clips"}).tree)
    for pattern, _ in KEYS:
        node, dot, names = pattern.partition(".")
        if not dot:
            assert node in bound
        elif "*" not in pattern:
            assert set(names.split("|")) - {"..."} <= bound[node].keys()


def test_a_choice_shows_the_arguments_of_its_constructor(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "pretrain", "method=simsiam", "eval=knn", "--help")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "method.dim int = 2048" in lines
    assert "eval.knn.temperature float = 0.07" in lines
    assert "encoder" not in text.rpartition("arguments of method=simsiam")[2].partition("arguments of")[0]


def test_values_of_the_file_stand_for_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "pretrain", "backbone=vit_nano", "--help")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "backbone.frames int = ${clip.frames}" in lines
    assert "backbone.depth int = 4" in lines


def test_help_on_a_wrong_choice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pretrain", "method=simsam", "--help"]) == ConfigError.exit_code
    assert "did you mean 'simsiam'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "['--help']",
        "['pretrain', 'method=simsiam', 'eval=knn', '--help']",
        "['doctor', '--help']",
        "['data', '--help']",
        "['data', 'check', '--help']",
    ],
)
def test_help_imports_no_torch(words: str) -> None:
    code = (
        f"import sys; from vssl.cli.main import main; code = main({words}); "
        "heavy = {'torch', 'numpy', 'pandas', 'pytorch_lightning', 'torchvision'} & set(sys.modules); "
        "sys.exit(code or (f'imported: {heavy}' if heavy else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_help_comes_within_a_second() -> None:
    seconds = []
    for _ in range(3):  # the fastest of three: other tests may run beside this one
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "vssl", "pretrain", "--help"], capture_output=True, check=True, timeout=60
        )
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 1
