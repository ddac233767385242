"""The policy file: what is refused, in one line that names the field."""

from __future__ import annotations

import pytest

from topics.policy import PolicyError, parse_policy

SHOP = "channels: {shop: {kind: webhook, locations: all}}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("channels: {shop: {kind: webhook}, shop: {kind: shopify}}", "shop stands there twice"),
        (f"{SHOP}\n{SHOP}", "channels stands there twice"),
        ("channels: {shop: {kind: webhook, percent: 10, percent: 20}}", "percent stands there twice"),
        ("channels: {shop: {kind: webhook, locations: [A, B, A]}}", "channels.shop.locations: A stands there twice"),
        ("count_tolerance: {units: -1}", "count_tolerance.units: Input should be"),
        ("count_tolerance: {A: {unit: 1}}", "count_tolerance.A.unit: Extra inputs"),
        ("grace_seconds: {id_conflict: 3}", "policy: grace_seconds.id_conflict has no grace period"),
        ("channels: {all: {kind: webhook}}", "policy: channels.all: "),
        ("channels: {shop: {kind: webhook, cap: true}}", "channels.shop.cap: "),
        ("? [a, b]\n: 1", "policy: "),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, words: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse_policy(text)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_part_may_be_written_once_and_used_twice() -> None:
    policy = parse_policy("channels: {a: &it {kind: webhook, locations: [A]}, b: {<<: *it, percent: 50}}")
    assert (policy.channels["b"].locations, policy.channels["b"].percent) == (["A"], 50)
