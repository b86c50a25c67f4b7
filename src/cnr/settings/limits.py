"""Settings of what a request may send."""

from typing import Final

from cnr.domain.limits import Limits
from cnr.settings import types
from cnr.settings.setting import Setting

_DEFAULTS: Final = Limits()

LIMITS: Final = (
    Setting(
        "max_json_body",
        types.size,
        types.size_text(_DEFAULTS.json_body_bytes),
        ("CNR_MAX_JSON_BODY",),
        "--max-json-body",
        "Largest JSON body.",
    ),
    Setting(
        "max_form_body",
        types.size,
        types.size_text(_DEFAULTS.form_body_bytes),
        ("CNR_MAX_FORM_BODY",),
        "--max-form-body",
        "Largest form.",
    ),
    Setting(
        "body_timeout",
        types.whole(1, 86400),
        "30",
        ("CNR_BODY_TIMEOUT",),
        "--body-timeout",
        "Seconds without a byte after which a body is given up.",
    ),
    Setting(
        "max_package",
        types.size,
        types.size_text(_DEFAULTS.compressed_bytes),
        ("CNR_MAX_PACKAGE",),
        "--max-package",
        "Largest package, compressed.",
    ),
    Setting(
        "max_unpacked",
        types.size,
        types.size_text(_DEFAULTS.unpacked_bytes),
        ("CNR_MAX_UNPACKED",),
        "--max-unpacked",
        "Largest package, unpacked.",
    ),
    Setting(
        "max_members",
        types.whole(1, 10**9),
        str(_DEFAULTS.members),
        ("CNR_MAX_MEMBERS",),
        "--max-members",
        "Most files and folders in a package.",
    ),
    Setting(
        "max_ratio",
        types.whole(1, 10**6),
        str(_DEFAULTS.ratio),
        ("CNR_MAX_RATIO",),
        "--max-ratio",
        "Highest ratio of a package's unpacked to its compressed size.",
    ),
    Setting(
        "max_chart_file",
        types.size,
        types.size_text(_DEFAULTS.chart_file_bytes),
        ("CNR_MAX_CHART_FILE",),
        "--max-chart-file",
        "Largest file of a helm chart.",
    ),
    Setting(
        "max_metadata",
        types.size,
        types.size_text(_DEFAULTS.metadata_bytes),
        ("CNR_MAX_METADATA",),
        "--max-metadata",
        "Largest metadata of a push.",
    ),
    Setting(
        "max_manifest",
        types.size,
        types.size_text(_DEFAULTS.manifest_bytes),
        ("CNR_MAX_MANIFEST",),
        "--max-manifest",
        "Largest manifest that an OCI client pushes; clients count on 4MiB.",
    ),
    Setting(
        "max_blob",
        types.size,
        "64GiB",
        ("CNR_MAX_BLOB",),
        "--max-blob",
        "Largest blob that an OCI client pushes.",
    ),
    Setting(
        "max_uploads",
        types.whole(0, 10**6),
        str(_DEFAULTS.uploads),
        ("CNR_MAX_UPLOADS",),
        "--max-uploads",
        "Most open uploads of OCI clients; 0 for no limit.",
    ),
    Setting(
        "max_uploads_per_repository",
        types.whole(0, 10**6),
        str(_DEFAULTS.uploads_per_repository),
        ("CNR_MAX_UPLOADS_PER_REPOSITORY",),
        "--max-uploads-per-repository",
        "Most of them in one repository; 0 for no limit.",
    ),
    Setting(
        "max_uploads_per_caller",
        types.whole(0, 10**6),
        str(_DEFAULTS.uploads_per_caller),
        ("CNR_MAX_UPLOADS_PER_CALLER",),
        "--max-uploads-per-caller",
        "Most of them of one user or token; 0 for no limit.",
    ),
    Setting(
        "upload_timeout",
        types.whole(1, 86400),
        "3600",
        ("CNR_UPLOAD_TIMEOUT",),
        "--upload-timeout",
        "Seconds after which an open upload to which nothing comes may be given up.",
    ),
    Setting(
        "max_tags_per_namespace",
        types.count_or_off,
        "off",
        ("CNR_MAX_TAGS_PER_NAMESPACE",),
        "--max-tags-per-namespace",
        "Most tags of a namespace that has no such rule of its own: releases, channels and others.",
    ),
    Setting(
        "max_bytes_per_namespace",
        types.size_or_off,
        "off",
        ("CNR_MAX_BYTES_PER_NAMESPACE",),
        "--max-bytes-per-namespace",
        "Most bytes of a namespace that has no such rule of its own.",
    ),
)
