"""A bundle loaded: config.json becomes a `Spec`, once, here; nothing past this door sees a dict.

The bundle is hostile input: whatever stands in it, the answer is a Spec or an InputError that names the place, the
value found and the value expected. What `run` does not do is collected, not refused (`Spec.unsupported`).
"""

from __future__ import annotations

import os

from devproxy.collector import Still
from devproxy.errors import InputError
from devproxy.oci.json_file import ROOT, parse_document, read_config
from devproxy.oci.json_path import JsonValue, quote, quote_path
from devproxy.oci.linux import LinuxPart, parse_linux
from devproxy.oci.mounts import parse_mounts
from devproxy.oci.process import parse_process
from devproxy.oci.spec import Process, RootfsHint, Spec, Unsupported
from devproxy.oci.unsupported import find_unsupported

# __NEW_UTS_LEN: what sethostname(2) and setdomainname(2) take.
_UTS_NAME_MAX = 64

_OTHER_PLATFORMS = ("windows", "solaris", "vm", "zos", "freebsd")


def load(bundle: str | os.PathLike[str]) -> Spec:
    """The spec of a bundle, a directory with config.json (runtime-spec bundle.md).

    The rootfs is not looked at: whoever builds opens it.

    Errors: InputError for a directory that is no bundle and for anything wrong in its config.json.
    """
    try:
        directory = os.path.abspath(os.fspath(bundle))
    except FileNotFoundError:
        raise InputError("the working directory is gone", hint="give the bundle as an absolute path") from None
    content = read_config(directory)
    try:
        with Still():
            return parse_spec(parse_document(content), directory)
    except InputError as error:
        where = quote_path(os.path.join(directory, ROOT))
        hint = error.hint or "correct it there; config.md of the OCI runtime spec describes the format"
        raise InputError(f"{where}: {error.message}", hint=hint) from None


def parse_spec(config: object, bundle: str) -> Spec:
    """The spec in a config.json that json.loads has read. `bundle` is the absolute directory that relative sources are joined to (S28).

    Errors: InputError that names the JSON path.
    """
    document = JsonValue(config, ROOT)
    _check_platform(document)
    linux = document.member("linux")
    part = LinuxPart() if linux is None else parse_linux(linux)
    process, unknown_capabilities = _process(document)
    mounts, unsupported_options = parse_mounts(document, bundle)
    _refuse_image(document)
    root = document.required("root")
    rootfs = os.path.join(bundle, root.required("path").host_path())
    annotations = _annotations(document)
    hint, without_meaning = _rootfs_hint(annotations)
    return Spec(
        bundle=bundle,
        version=_version(document),
        rootfs=rootfs if hint is None else hint.source,
        readonly=root.optional_flag("readonly"),
        hostname=_uts_name(document, "hostname", part),
        domainname=_uts_name(document, "domainname", part),
        process=process,
        mounts=mounts,
        devices=part.devices,
        namespaces=part.namespaces,
        masked_paths=part.masked_paths,
        readonly_paths=part.readonly_paths,
        rootfs_propagation=part.rootfs_propagation,
        annotations=annotations,
        unsupported=(*unsupported_options, *unknown_capabilities, *find_unsupported(document), *without_meaning),
        rootfs_hint=hint,
        cdi_hook=_has_cdi_hook(document),
    )


def _process(document: JsonValue) -> tuple[Process | None, tuple[Unsupported, ...]]:
    process = document.member("process")
    return (None, ()) if process is None else parse_process(process)


def _rootfs_hint(annotations: tuple[tuple[str, str], ...]) -> tuple[RootfsHint | None, tuple[Unsupported, ...]]:
    if not any(key.startswith("dev.gvisor.spec.rootfs.") for key, _ in annotations):
        return None, ()
    from devproxy.oci.rootfs_hint import parse_rootfs_hint  # few bundles have one

    return parse_rootfs_hint(annotations)


def _has_cdi_hook(document: JsonValue) -> bool:
    if document.member("hooks") is None:
        return False
    from devproxy.oci.nvidia_hooks import has_cdi_hook

    return has_cdi_hook(document)


def _check_platform(document: JsonValue) -> None:
    for platform in _OTHER_PLATFORMS:
        found = document.member(platform)
        if found is not None:
            raise found.wrong("a spec for Linux alone")


def _refuse_image(document: JsonValue) -> None:
    """An image has files of this name too (image-spec config.md, manifest.md), and no root."""
    images = (("schemaVersion", "manifest"), ("rootfs", "configuration"))
    kind = next((kind for key, kind in images if document.member(key) is not None), "")
    if kind and document.member("root") is None:
        raise InputError(
            f"root is missing: this is an image's {kind}, expected a bundle's config.json",
            hint="'umoci unpack' makes a bundle of an image; or export its files into rootfs, and `runc spec` or 'devproxy spec' writes one",
        )


def _version(document: JsonValue) -> str:
    field = document.required("ociVersion")
    version = field.text()
    if version.partition(".")[0] not in ("0", "1"):
        raise field.wrong("version 1 of the runtime spec")
    return version


def _uts_name(document: JsonValue, key: str, linux: LinuxPart) -> str:
    name = document.optional_text(key)
    if not name:
        return ""
    if len(name.encode()) > _UTS_NAME_MAX:
        raise JsonValue(name, key).wrong(f"a name of at most {_UTS_NAME_MAX} bytes")
    if not any(namespace.type == "uts" for namespace in linux.namespaces):
        hint = 'add {"type": "uts"} to linux.namespaces, or leave the name out'
        raise InputError(f"{key} is {quote(name)}, but there is no uts namespace to set it in", hint=hint)
    return name


def _annotations(document: JsonValue) -> tuple[tuple[str, str], ...]:
    annotations = document.member("annotations")
    if annotations is None:
        return ()
    return tuple((JsonValue(key, "a key of annotations").text(), value.text()) for key, value in annotations.members())
