"""Settings of the server: where it listens, what it says about itself and others."""

import os
from collections.abc import Mapping
from typing import Any, Final

from cnr.settings import types
from cnr.settings.setting import Setting

LOG_LEVELS: Final = ("debug", "info", "warning", "error")


def _cores(above: Mapping[str, Any]) -> str:
    # Not os.cpu_count(): a container or taskset may leave us fewer.
    return str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


SERVING: Final = (
    Setting(
        "host",
        types.plain,
        "127.0.0.1",
        ("HOST",),
        "--host",
        "Address to listen on; 0.0.0.0 opens the server to the network.",
    ),
    Setting("port", types.whole(0, 65535), "5000", ("PORT",), "--port", "Port to listen on; 0 takes a free one."),
    Setting(
        "workers", types.whole(1, 256), _cores, ("WORKERS",), "--workers", "Worker processes.", "the number of cores"
    ),
    Setting(
        "drain",
        types.whole(0, 3600),
        "0",
        ("CNR_DRAIN",),
        "--drain",
        "Seconds from the signal to stop, for which /readyz says 503 and all else goes on: for load balancers.",
    ),
    Setting(
        "public_url",
        types.public_url,
        "",
        ("CNR_URI", "APPR_URI"),
        "--public-url",
        "The address clients reach this server under, for the discovery page; else the Host header of a request.",
    ),
    Setting(
        "trusted_proxies",
        types.networks,
        "",
        ("CNR_TRUSTED_PROXIES",),
        "--trusted-proxies",
        "Addresses or networks, with commas, whose X-Forwarded-Proto and X-Forwarded-For are believed; * for any.",
    ),
    Setting(
        "tls_cert",
        types.file,
        "",
        ("CNR_TLS_CERT",),
        "--tls-cert",
        "The certificate to serve HTTPS with, and those above it: a PEM file. New files are taken over by themselves.",
    ),
    Setting(
        "tls_key",
        types.file,
        lambda above: str(above["tls_cert"] or ""),
        ("CNR_TLS_KEY",),
        "--tls-key",
        "Its key, not encrypted: a PEM file.",
        "the file of the certificate",
    ),
    Setting(
        "hsts",
        types.whole(0, 63_072_000),
        "0",
        ("CNR_HSTS",),
        "--hsts",
        "Seconds for which browsers that came by HTTPS come by nothing else (Strict-Transport-Security); 0: unsaid.",
    ),
    Setting(
        "helm_path",
        types.path_segment,
        "/helm",
        ("CNR_HELM_PATH",),
        "--helm-path",
        "The path of the classic Helm repository and the ChartMuseum API.",
    ),
    Setting(
        "helm_hosts",
        types.host_names,
        "",
        ("CNR_HELM_HOSTS",),
        "--helm-hosts",
        "Host names, with commas, that have the classic Helm repository and the ChartMuseum API at their root, too.",
    ),
    Setting(
        "read_only",
        types.yes_or_no,
        "false",
        ("CNR_READ_ONLY",),
        "--read-only",
        "Whether every change is refused (405), by any protocol; logins and reads go on, and no garbage is collected.",
    ),
    Setting(
        "app_env",
        types.plain,
        "production",
        ("APP_ENV",),
        None,
        "development: the log level is debug by default. Answers never show more.",
    ),
    Setting(
        "access_log",
        types.plain,
        "stdout",
        ("CNR_ACCESS_LOG",),
        "--access-log",
        "One JSON line per request to stdout, stderr or a file to append to; off for none.",
    ),
    Setting(
        "log_level",
        types.one_of(*LOG_LEVELS),
        lambda above: "debug" if above["app_env"] == "development" else "info",
        ("CNR_LOG_LEVEL",),
        "--log-level",
        f"What else is logged, to stderr: {', '.join(LOG_LEVELS)}.",
        "info",
    ),
)
