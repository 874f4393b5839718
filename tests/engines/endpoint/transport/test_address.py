import pytest

from engines.endpoint.transport.address import read_address, refuse_open_http
from modeltest.api import PrerequisiteError, SpecError


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("https://api.example.com/openai/v1/", "https://api.example.com:443/openai/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://localhost/v1", "http://localhost:80/v1"),
    ],
)
def test_a_url_is_written_in_one_way(text: str, base: str) -> None:
    assert read_address(text).base == base


@pytest.mark.parametrize(
    "text",
    [
        "http://me:hunter2@host/v1",
        "https://hunter2@host/v1",
        "http://host/v1?key=hunter2",
        "http://h/v1#hunter2",
    ],
)
def test_what_may_be_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_address(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["weights", "ftp://host/v1", "http:///v1", "http://host:99999/v1", "http://a b/"]
)
def test_what_is_no_url_is_told_with_an_example(text: str) -> None:
    with pytest.raises(SpecError, match=r"http://127\.0\.0\.1:8000/v1"):
        read_address(text)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "172.16.0.1", "[::1]", "[fd00::1]", "localhost"]
)
def test_plain_http_is_for_this_machine_and_private_networks(host: str) -> None:
    refuse_open_http(read_address(f"http://{host}:1/v1"))


@pytest.mark.parametrize("host", ["8.8.8.8", "[2001:4860:4860::8888]", "[::ffff:8.8.8.8]"])
def test_plain_http_to_a_public_address_is_refused(host: str) -> None:
    with pytest.raises(SpecError, match="allow_http=yes"):
        refuse_open_http(read_address(f"http://{host}:1/v1"))
    refuse_open_http(read_address(f"https://{host}:1/v1"))


def test_a_name_counts_by_all_of_its_addresses() -> None:
    address = read_address("http://model:1/v1")
    refuse_open_http(address, resolve=lambda host, port: ["10.0.0.1"])
    with pytest.raises(SpecError, match=r"8\.8\.8\.8"):
        refuse_open_http(address, resolve=lambda host, port: ["10.0.0.1", "8.8.8.8"])


def test_a_name_without_an_address_is_told() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(PrerequisiteError, match="not known here"):
        refuse_open_http(read_address("http://model:1/v1"), resolve=unknown)
