import pytest

from cnr.domain.addresses import Networks, party


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("not:an:address", "not:an:address"),
        ("x" * 1000, "x" * 64),
        (":" * 1000, ":" * 64),
    ],
)
def test_party(address: str, who: str) -> None:
    assert party(address) == who


def test_networks() -> None:
    assert "192.0.2.1" not in Networks([])
    assert "anything" in Networks(["*"])
    assert "10.1.2.3" in Networks(["192.0.2.1", "10.0.0.0/8"])
    assert "::ffff:10.1.2.3" in Networks(["10.0.0.0/8"])
    assert "2001:db8::1" not in Networks(["10.0.0.0/8"])
    assert "unknown" not in Networks(["10.0.0.0/8"])
