"""Binding compares a tree with constructors; construction builds from a node."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from vssl.config.bind import bind, construct
from vssl.config.compose import compose
from vssl.config.errors import ConfigError
from vssl.config.render import to_yaml


def node(name: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"vssl_toys.{name}", **arguments}


def bound(name: str, **arguments: Any) -> dict[str, Any]:
    found = bind({"x": node(name, **arguments)})["x"]
    assert isinstance(found, dict)
    return found


def problem(tree: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        bind(tree)
    return str(caught.value)


def test_defaults_are_filled_in_and_what_vssl_provides_is_not_asked_for() -> None:
    assert bound("Masked") == node("Masked", mask_ratio=0.75, mask="tube", dims=8)
    assert bound("Labelled", label="motion") == node("Labelled", label="motion")


def test_an_unknown_key_is_told_with_the_nearest_name() -> None:
    assert problem({"method": node("Masked", mask_ration=0.9)}) == (
        "method.mask_ration: Masked has no argument 'mask_ration'; did you mean 'mask_ratio'?"
    )


def test_an_unknown_key_near_to_nothing_is_told_with_all_names() -> None:
    assert "it takes mask_ratio, mask, dims" in problem({"method": node("Masked", zzz=1)})


def test_all_problems_of_all_nodes_are_in_one_message() -> None:
    text = problem(
        {
            "method": node("Masked", mask="tubes", dims=1.5, encoder="x"),
            "optim": node("Optimiser"),
            "views": node("Views", a={"stride": 2, "augment": {"flipp": 1}}),
            "data": {"_target_": "vssl_toys.Dta"},
            "logger": {"name": "x"},
            "seed": "zero",
        }
    )
    assert text.startswith("9 problems in the configuration:\n")
    for told in (
        "method.mask: 'tubes' given, 'tube' | 'random' expected; did you mean 'tube'?",
        "method.dims: 1.5 given, int expected",
        "method.encoder: vssl itself provides it; take it out",
        "optim.lr must be given (float): Optimiser",
        "views.a.frames must be given (int): View",
        "views.a.augment.flipp: Augment has no argument 'flipp'; did you mean 'flip'?",
        "data._target_: vssl_toys.Dta: vssl_toys has no class 'Dta'; did you mean 'Data'?",
        "logger: nothing is chosen that takes logger.name; choose logger=...",
        "seed: 'zero' given, int expected",
    ):
        assert f"\n  {told}" in text


@pytest.mark.parametrize(
    ("name", "key", "given", "kept"),
    [
        ("Masked", "mask_ratio", 1, 1.0),
        ("Masked", "mask_ratio", "1e-3", 0.001),
        ("Masked", "dims", 1e3, 1000),
        ("Fast", "steps", "auto", "auto"),
        ("Fast", "steps", 4.0, 4),
        ("Fast", "steps", None, None),
        ("Fast", "decays", (1, 2), [1.0, 2.0]),
        ("Data", "label", ["a", "b"], ["a", "b"]),
        ("Data", "label", "a", "a"),
        ("Data", "label", 7, "7"),
        ("Knn", "k", 5, 5),
        ("Knn", "k", [5, 10], (5, 10)),
        ("Options", "anything", {"deep": [1]}, {"deep": [1]}),
    ],
)
def test_values_take_the_form_that_the_annotation_asks_for(name: str, key: str, given: object, kept: object) -> None:
    extra = {"lr": 1} if name == "Optimiser" else {}
    found = bound(name, **extra, **{key: given})[key]
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    ("name", "key", "given", "told"),
    [
        ("Masked", "dims", True, "x.dims: true given, int expected"),
        ("Masked", "dims", "8", "x.dims: '8' given, int expected"),
        ("Masked", "dims", None, "x.dims: null given, int expected"),
        ("Masked", "mask_ratio", "high", "x.mask_ratio: 'high' given, float expected"),
        ("Masked", "mask_ratio", False, "x.mask_ratio: false given, float expected"),
        ("Fast", "decays", 0.1, "x.decays: 0.1 given, list of float expected"),
        ("Fast", "decays", [0, "a"], "x.decays[1]: 'a' given, float expected"),
        ("Fast", "shape", {"crop": [0.1]}, "x.shape.crop: 1 values given, (float, float) expected"),
        ("Fast", "steps", "never", "x.steps: 'never' given, int | 'auto' | null expected"),
        ("Data", "root", 1.5, "x.root: 1.5 given, str | null expected"),
        ("Data", "root", "???", "x.root must be given (str | null)"),
        ("Views", "relation", {"_target_": "vssl_toys.Data"}, "x.relation: vssl_toys.Data is no Relation"),
        ("Views", "relation", "nested", "x.relation: 'nested' given, Relation expected"),
        ("Evaluation", "knn", {"k": 3}, "x.knn: no Protocol is named here (_target_); is x=knn chosen?"),
    ],
)
def test_wrong_types_are_refused(name: str, key: str, given: object, told: str) -> None:
    assert problem({"x": node(name, **{key: given})}) == told


def test_shared_arguments_are_those_of_the_next_constructor_and_own_ones_win() -> None:
    expected = {"manifest": "m", "folds": [0], "root": "here", "label": None, "decoder": "pyav"}
    assert bound("Listed", manifest="m") == node("Listed", **expected)
    assert bound("Inherited", manifest="m") == node("Inherited", **expected)
    assert problem({"x": node("Listed", manifest="m", rooot=1)}).endswith("did you mean 'root'?")


def test_a_default_object_is_written_out_and_single_values_of_it_can_be_changed() -> None:
    views = bound("Views", a={"frames": 4, "augment": {"crop": [0, 1]}}, b={"frames": 2, "augment": None})
    assert views["relation"] == {"_target_": "vssl_toys.Independent"}
    assert views["a"] == {"frames": 4, "stride": 1, "augment": {"crop": (0.0, 1.0), "flip": 0.25}}
    assert views["b"]["augment"] is None
    assert bound("Fast", shape={"flip": 0})["shape"] == {"crop": (0.2, 1.0), "flip": 0.0}


def test_a_part_names_its_own_class() -> None:
    relation = bound("Views", relation=node("Nested", gap=3))["relation"]
    assert relation == node("Nested", gap=3)


def test_binding_twice_and_through_yaml_changes_nothing(config_root: Path) -> None:
    tree = compose(["method=masked", "optim=fast", "eval=knn,linear"], root=config_root).tree
    tree["clip"], tree["budget"] = {}, {}
    once = bind(tree)
    assert bind(once) == once
    stored = yaml.safe_load(to_yaml(once))
    assert bind(stored) == once
    assert "&id" not in to_yaml(once)


def test_yaml_keeps_numbers_numbers() -> None:
    values = {"small": 1e-05, "large": 1e22, "pair": (1, 2), "none": None, "text": "1e-05"}
    assert yaml.safe_load(to_yaml(values)) == {**values, "pair": [1, 2]}


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("vssl_toys.Maskd", "vssl_toys has no class 'Maskd'; did you mean 'Masked'?"),
        ("vssl.config.bnd.X", "vssl.config has no module 'bnd'; did you mean 'bind'?"),
        ("no_such_package.x.Y", "there is no package 'no_such_package'"),
        ("vssl_toys.NOT_A_CLASS", "is a int, a class is needed"),
        ("Masked", "is no import path"),
        (3, "is no import path"),
    ],
)
def test_a_wrong_import_path_is_explained(target: object, told: str) -> None:
    assert told in problem({"x": {"_target_": target}})


def test_a_missing_dependency_is_no_wrong_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needs_more.py").write_text("import not_installed_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    told = problem({"x": {"_target_": "needs_more.X"}})
    assert told == "x._target_: needs_more needs the package 'not_installed_at_all', which is not installed"


def test_annotations_must_exist_at_run_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "typing_only.py").write_text("class A:\n    def __init__(self, x: 'Gone' = 1):\n        pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "name 'Gone' is not defined at run time" in problem({"x": {"_target_": "typing_only.A"}})


@pytest.mark.parametrize("key", ["sweep", "launcher", "seed"])
def test_nodes_of_a_sweep_and_scalars_are_left_alone(key: str) -> None:
    tree = {"sweep": {"points": [["method=a"]]}, "launcher": {"jobs": 2}, "seed": 3}
    assert bind(tree)[key] == tree[key]


def test_construct_builds_parts_first_with_their_own_types() -> None:
    import vssl_toys as toys  # type: ignore[import-not-found]

    views = construct(node("Views", relation=node("Nested", gap=2), a={"frames": 4}), toys.Views, "views")
    assert isinstance(views.relation, toys.Nested)
    assert views.views == {"a": toys.View(4, 1, toys.Augment(flip=0.25))}
    listed = construct(node("Listed", manifest="m.csv", folds=[1, 2]), toys.Data, "data")
    assert listed.manifest == Path("m.csv")


def test_construct_passes_provided_arguments_that_the_signature_names() -> None:
    import vssl_toys as toys

    encoder = construct(node("Encoder", width=3), toys.Encoder, "backbone")
    masked = construct(bound("Masked"), toys.Method, "method", encoder=encoder, num_classes=4)
    assert masked.encoder is encoder
    labelled = construct(bound("Labelled", label="m"), toys.Method, "method", encoder=encoder, num_classes=4)
    assert labelled.num_classes == 4


def test_construct_refuses_another_class_before_it_is_built() -> None:
    import vssl_toys as toys

    with pytest.raises(ConfigError, match=r"method: vssl_toys.Encoder is no Method"):
        construct(node("Encoder", width=-1), toys.Method, "method")


def test_a_range_error_of_a_constructor_names_the_node() -> None:
    import vssl_toys as toys

    with pytest.raises(ConfigError, match=r"^backbone: width=0 must be 1 or more$"):
        construct(node("Encoder", width=0), toys.Encoder, "backbone")


def test_construct_without_a_choice_says_so() -> None:
    with pytest.raises(ConfigError, match="method: nothing is chosen; choose method=..."):
        construct({}, object, "method")
