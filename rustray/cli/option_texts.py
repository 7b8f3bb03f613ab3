"""What texts given to ``rustray`` mean: numbers, addresses, resources, labels."""

from __future__ import annotations

import argparse
import json

from rustray.errors import OptionError
from rustray.wire.security import join_address, split_address


def number(text: str) -> float:
    """For argparse."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def whole_number(text: str) -> int:
    """For argparse."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def read_addresses(text: str) -> list[str]:
    """Of "host:port,..."; OptionError."""
    addresses = [address.strip() for address in text.split(",") if address.strip()]
    for address in addresses:
        split_address(address)
    if not addresses:
        raise OptionError("An address is missing: give HOST:PORT.")
    return addresses


def read_resources(text: str) -> dict[str, float]:
    """Of a JSON object; OptionError."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise OptionError(
            f"--resources {text} is not JSON: {error}. Give an object, as '{{\"disk\": 2}}'."
        ) from error
    if not isinstance(value, dict):
        raise OptionError(f"--resources {text}: give an object, as '{{\"disk\": 2}}'.")
    return value


def read_labels(text: str) -> dict[str, str]:
    """Of "key=value,..."; OptionError."""
    labels = {}
    for pair in text.split(","):
        key, equals, value = pair.partition("=")
        if not key.strip() or not equals:
            raise OptionError(f"--labels {text}: {pair!r} is no label. Give KEY=VALUE,KEY=VALUE.")
        labels[key.strip()] = value.strip()
    return labels


def check_gaps(heads: list[str]) -> None:
    """OptionError where a head would want the port at which another talks to the heads."""
    for host, port in map(split_address, heads):
        if (taken := join_address(host, port + 1)) in heads:
            raise OptionError(
                f"{join_address(host, port)} and {taken} are too close: each of several heads also uses the next port, "
                f"for the other heads. Leave a gap: {join_address(host, port)}, {join_address(host, port + 10)}, ..."
            )
