from __future__ import annotations

from typing import Any

import pytest

from rustray.errors import OptionError
from rustray.model.ids import MAX_INDEX, make_object_id, number_of, owner_of, task_of
from rustray.model.options import IGNORED, ActorOptions, MethodOptions, TaskOptions


def test_defaults_are_rays() -> None:
    task = TaskOptions.build({})
    assert (task.num_cpus, task.num_gpus, task.max_retries, task.retry_exceptions) == (1, 0, 3, False)
    assert task.resource_request() == {"CPU": 1}
    actor = ActorOptions.build({})
    assert (actor.max_restarts, actor.max_task_retries, actor.max_pending_calls) == (0, 0, -1)
    assert actor.max_concurrency is None
    assert actor.resource_request() == {}


def test_none_means_the_default() -> None:
    assert TaskOptions.build({"num_cpus": None, "resources": None, "max_retries": None}) == TaskOptions()
    assert ActorOptions.build({"num_cpus": None, "lifetime": "non_detached"}) == ActorOptions()


def test_resource_request() -> None:
    options = TaskOptions.build(
        {"num_cpus": 0, "num_gpus": 0.5, "memory": 1e9, "resources": {"tpu": 2}, "accelerator_type": "H100"}
    )
    assert options.resource_request() == {
        "GPU": 0.5,
        "memory": 10**9,
        "tpu": 2,
        "accelerator_type:H100": 0.001,
    }


def test_updated_changes_only_what_is_given() -> None:
    options = TaskOptions.build({"num_cpus": 2, "name": "a"})
    assert options.updated({"name": "b"}) == TaskOptions.build({"num_cpus": 2, "name": "b"})
    assert options.name == "a"


def test_retried_exceptions_become_a_tuple() -> None:
    assert TaskOptions.build({"retry_exceptions": [ValueError]}).retry_exceptions == (ValueError,)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"num_cpu": 1}, "Did you mean 'num_cpus'"),
        ({"max_retry": 1}, "Did you mean 'max_retries'"),
        ({"zzz": 1}, "There are: accelerator_type"),
        ({"num_cpus": -1}, "from 0 on"),
        ({"num_cpus": "2"}, "'2' (str)"),
        ({"num_cpus": True}, "(bool)"),
        ({"num_cpus": float("nan")}, "from 0 on"),
        ({"num_cpus": 0.00001}, "0.0001"),
        ({"num_cpus": 1e300}, "up to 1e+15"),
        ({"num_gpus": 1.5}, "or a whole number"),
        ({"num_gpus": 0.00001}, "0.0001"),
        ({"memory": float("inf")}, "whole number of bytes"),
        ({"resources": {"GPU": 1.5}}, "use num_gpus=1.5"),
        ({"resources": {"": 1}}, "must not be empty"),
        ({"resources": {"CPU": 1}}, "use num_cpus=1"),
        ({"resources": {"x": -1}}, "resources['x']"),
        ({"resources": ["x"]}, "a dict"),
        ({"memory": 1.5}, "bytes"),
        ({"memory": float("inf")}, "bytes"),
        ({"num_returns": "stream"}, "'streaming'"),
        ({"num_returns": -1}, "65535"),
        ({"max_retries": -2}, "-1 for no limit"),
        ({"max_retries": 1.0}, "whole number"),
        ({"max_calls": 1}, "not supported"),
        ({"retry_exceptions": [1]}, "exception classes"),
        ({"retry_exceptions": ValueError}, "exception classes"),
        ({"name": 3}, "a string"),
        ({"runtime_env": "x"}, "a dict"),
        ({"scheduling_strategy": "PACK"}, "'SPREAD'"),
        ({"scheduling_strategy": object()}, "'SPREAD'"),
        ({"label_selector": "a=b"}, "a dict"),
        ({"label_selector": {"zone": "in("}}, "'!in(a, b)'"),
        ({"label_selector": {"-zone": "a"}}, "label key"),
        ({"priority": 11}, "from -10 to 10"),
        ({"priority": 1.5}, "a whole number"),
        ({"preemptible": 1}, "True or False"),
        ({"placement_group": object()}, "PlacementGroupSchedulingStrategy"),
        ({"_generator_backpressure_num_objects": 8}, "not supported"),
    ],
)
def test_bad_task_options(given: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError) as caught:
        TaskOptions.build(given)
    assert told in str(caught.value)
    with pytest.raises(OptionError):
        TaskOptions().updated(given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"max_retries": 1}, "of an actor"),
        ({"lifetime": "forever"}, "'detached'"),
        ({"get_if_exists": True}, "name="),
        ({"get_if_exists": 1}, "True or False"),
        ({"max_concurrency": 0}, "from 1 on"),
        ({"concurrency_groups": {"io": 0}}, "concurrency_groups"),
        ({"concurrency_groups": ["io"]}, "concurrency_groups"),
    ],
)
def test_bad_actor_options(given: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError) as caught:
        ActorOptions.build(given)
    assert told in str(caught.value)


def test_an_option_error_is_what_ray_raises() -> None:
    with pytest.raises(ValueError):
        TaskOptions.build({"num_cpus": -1})
    with pytest.raises(TypeError):
        TaskOptions.build({"num_cpus": "2"})


def test_names_internal_to_ray_are_ignored() -> None:
    for record in (TaskOptions, ActorOptions, MethodOptions):
        assert record.build(dict.fromkeys(IGNORED, 1)) == record()
    assert TaskOptions.build({"placement_group": "default", "label_selector": None}) == TaskOptions()


def test_method_options() -> None:
    options = MethodOptions.build({"num_returns": 2, "concurrency_group": "io"})
    assert (options.num_returns, options.concurrency_group) == (2, "io")
    assert ActorOptions.build({"concurrency_groups": {"io": 2}}).concurrency_groups == {"io": 2}


@pytest.mark.parametrize("client", [0, 1, 2**48 - 1])
@pytest.mark.parametrize("number", [0, 77, 2**64 - 1])
@pytest.mark.parametrize("index", [0, MAX_INDEX])
def test_object_ids(client: int, number: int, index: int) -> None:
    oid = make_object_id(client, number, index)
    assert len(oid) == 16
    assert (owner_of(oid), number_of(oid)) == (client, number)
    assert oid == task_of(oid) + index.to_bytes(2, "big")


def test_object_ids_of_a_client_sort_by_age() -> None:
    ids = [make_object_id(3, number, 0) for number in range(300)]
    assert ids == sorted(ids)
    with pytest.raises(OverflowError):
        make_object_id(2**48, 0, 0)
