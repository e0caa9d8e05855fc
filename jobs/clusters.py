"""Which Ray clusters a job may be sent to: whoever can reach one without a token can run anything on it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from ipaddress import ip_address
from pathlib import Path

from pipeline.errors import ConfigError

LOCAL = frozenset({"", "auto", "local", "localhost"})
"""Addresses, or hosts of addresses, that stay on this machine."""


def refuse_open_cluster(address: str | None, environment: Mapping[str, str], home: Path) -> None:
    """ConfigError if `address` is another machine's and no token is there to be sent.

    address: ray://host:port or host:port, or http(s)://host:port of a dashboard. environment: of this process. home:
    the folder in which Ray looks for a token by default. RAY_ADDRESS is not looked at: inside a cluster Ray sets it.
    """
    if address is None or _is_loopback(address) or _has_token(environment, home):
        return
    raise ConfigError(
        f"address {address} is another machine, and no token is set: whoever reaches that cluster can run code on it; "
        "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH, or write ~/.ray/auth_token), or say "
        "--open-cluster to run on a cluster that asks nobody for a token"
    )


def refuse_dashboard(address: str | None) -> None:
    """ConfigError for an address to which a job is submitted: a run joins the cluster itself."""
    if address is not None and address.startswith(("http://", "https://")):
        raise ConfigError(
            f"address {address} is a dashboard's; a run joins a cluster at HOST:PORT or ray://HOST:PORT; to send the "
            "job there, say lodepack submit"
        )


def give_token(environment: MutableMapping[str, str], home: Path) -> None:
    """Has Ray send the token that `environment` holds: it sends none without RAY_AUTH_MODE. Before Ray is imported."""
    if _has_token(environment, home):
        environment["RAY_AUTH_MODE"] = "token"


def _is_loopback(address: str) -> bool:
    host = address.rpartition("://")[2].partition("/")[0]
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    if host in LOCAL:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _has_token(environment: Mapping[str, str], home: Path) -> bool:
    """Whether somebody said that Ray 2.60 is to send a token, and there is one where it looks.

    The file in the home folder alone says nothing: Ray writes one for the first cluster that it starts on a machine.
    """
    mode = environment.get("RAY_AUTH_MODE")
    if mode is not None and mode.lower() != "token":
        return False
    if environment.get("RAY_AUTH_TOKEN"):
        return True
    path = environment.get("RAY_AUTH_TOKEN_PATH")
    if path:
        return _is_filled(Path(path))
    return mode is not None and _is_filled(home / ".ray" / "auth_token")


def _is_filled(file: Path) -> bool:
    try:
        return bool(file.read_text("utf-8").strip())
    except (OSError, UnicodeDecodeError):
        return False
