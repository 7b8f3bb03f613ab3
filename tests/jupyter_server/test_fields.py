"""What requests may bring, and what they are told of what they may not."""

from __future__ import annotations

import pytest

from rustray.errors import OptionError
from rustray_jupyter import fields


def start(body: str) -> None:
    fields.check(fields.json_object(body.encode()), fields.START)


def scale(body: str) -> None:
    fields.check(fields.json_object(body.encode()), fields.SCALE, required=("nodes",))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        '{"name": null, "num_cpus": null, "heads": null, "nodes": null}',
        '{"name": "a-1_b", "num_cpus": 0.5, "heads": 3, "nodes": 0}',
        '{"num_cpus": 4, "heads": 1, "nodes": 100}',
    ],
)
def test_what_is_meant_is_taken(body: str) -> None:
    start(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "The body is not JSON: "),
        ("\ud800", "The body is not JSON: "),
        ("[" * 100_000, "The body is not JSON: "),
        ("[1]", "The body must be a JSON object, as {}; it is [1]."),
        ("null", "The body must be a JSON object, as {}; it is null."),
        ('{"colour": 1}', "In the body, colour is not known here. There are: heads, name, nodes, num_cpus."),
        ('{"name": 5}', "In the body, name=5 is not allowed: give a name of up to 64 small letters"),
        ('{"name": "../x"}', 'name="../x" is not allowed'),
        ('{"name": ""}', 'name="" is not allowed'),
        ('{"name": "auto"}', 'neither "auto" nor "local"'),
        ('{"heads": 2}', "In the body, heads=2 is not allowed: give 1 or 3."),
        ('{"heads": true}', "In the body, heads=true is not allowed: give 1 or 3."),
        ('{"heads": 3.0}', "heads=3.0 is not allowed"),
        ('{"heads": "3"}', 'heads="3" is not allowed'),
        ('{"heads": [1]}', "heads=[1] is not allowed"),
        ('{"nodes": "many"}', 'nodes="many" is not allowed: give a whole number from 0 to 100.'),
        ('{"nodes": true}', "nodes=true is not allowed"),
        ('{"nodes": 1.0}', "nodes=1.0 is not allowed"),
        ('{"nodes": 101}', "nodes=101 is not allowed"),
        ('{"num_cpus": "2"}', 'num_cpus="2" is not allowed: give a number from 0 to 100000.'),
        ('{"num_cpus": true}', "num_cpus=true is not allowed"),
        ('{"num_cpus": -1}', "num_cpus=-1 is not allowed"),
        ('{"num_cpus": NaN}', "num_cpus=NaN is not allowed"),
        ('{"num_cpus": 1e999}', "num_cpus=Infinity is not allowed"),
        ('{"num_cpus": ' + "9" * 400 + "}", "num_cpus=999"),
    ],
)
def test_what_is_wrong_is_said_with_where_and_what_to_give(body: str, message: str) -> None:
    with pytest.raises(OptionError) as error:
        fields.check(fields.json_object(body.encode(errors="surrogatepass")), fields.START)
    assert message in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "The body lacks nodes: give a whole number from 0 to 100."),
        ('{"node": 1}', "node is not known here. There are: force, nodes."),
        ('{"nodes": null}', "nodes=null is not allowed"),
        ('{"nodes": false}', "nodes=false is not allowed"),
    ],
)
def test_scaling_needs_a_number(body: str, message: str) -> None:
    with pytest.raises(OptionError) as error:
        scale(body)
    assert message in str(error.value)
    scale('{"nodes": 3}')


def test_arguments_of_an_address_are_numbers() -> None:
    assert fields.argument("since", "1.5", float, fields.SINCE) == 1.5
    assert fields.argument("lines", "7", int, fields.LINES) == 7
    for text in ("today", "nan", "inf", ""):
        with pytest.raises(OptionError, match=f'In the address, since="{text}" is not allowed: give seconds since'):
            fields.argument("since", text, float, fields.SINCE)
    for text in ("1.5", "-1", "10001", "9" * 5000):
        with pytest.raises(OptionError, match="In the address, lines=.* is not allowed: give a whole number from 0 to"):
            fields.argument("lines", text, int, fields.LINES)
