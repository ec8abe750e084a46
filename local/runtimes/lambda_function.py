"""What a worker needs of a function: its code, handler, environment, mounts and log stream."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import sys
import uuid
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.filesystem import MountError
from local.images import ImageError, ImageNotFoundError
from local.runtimes import telemetry
from local.runtimes.identity import role_environment
from local.runtimes.logs import LogTarget
from local.sandbox.host import interpreter_paths
from local.sandbox.spec import DEFAULT_UID, Mount, ProcessSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moto.awslambda.models import LambdaFunction

    from local.filesystem import AccessPointMount, FileSystems
    from local.images import Images

TASK_ROOT = "/var/task"
LAYERS_ROOT = "/opt"
PATH = "/usr/local/bin:/usr/bin/:/bin:/opt/bin"
RUNTIME_CLIENT = "awslambdaric"
# Where this process is an ordinary user, files cannot be given away; EFS would do so as the access point's user.
_OWNERSHIP_TOLERANT = """
import errno, os, sys
def tolerant(change):
    def changed(*arguments, **options):
        try:
            change(*arguments, **options)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EINVAL):
                raise
    return changed
for name in ("chown", "lchown", "fchown"):
    setattr(os, name, tolerant(getattr(os, name)))
from awslambdaric.__main__ import main
main(sys.argv)
"""


class FunctionError(Exception):
    """A function that cannot be run as it is configured; `code` is the one that Invoke answers with."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class FunctionSnapshot:
    """A function's version at the moment of an invocation. Equal snapshots can share workers."""

    account: str
    region: str
    name: str
    arn: str
    version: str
    handler: str
    runtime: str
    package: str
    code_sha256: str
    image_uri: str
    command: tuple[str, ...]
    entrypoint: tuple[str, ...]
    workdir: str
    memory_mib: int
    timeout_seconds: int
    environment: tuple[tuple[str, str], ...]
    file_systems: tuple[tuple[str, str], ...]  # access point ARN, local mount path
    layers: tuple[str, ...]
    log_group: str
    log_format: str
    log_level: str


def snapshot(function: LambdaFunction, extra: dict[str, Any]) -> FunctionSnapshot:
    """Take what matters of moto's function, with the settings that moto itself does not keep."""
    logging = extra.get("LoggingConfig") or {}
    image = function.image_config
    return FunctionSnapshot(
        account=function.account_id,
        region=function.region,
        name=function.function_name,
        arn=function.function_arn,
        version=str(function.version) if ":" in function.function_arn.split(":function:")[-1] else "$LATEST",
        handler=function.handler or "",
        runtime=function.run_time or "",
        package=function.package_type,
        code_sha256=function.code_sha_256,
        image_uri=function.code.get("ImageUri", ""),
        command=tuple(image.cmd or ()),
        entrypoint=tuple(image.entry_point or ()),
        workdir=image.working_directory or "",
        memory_mib=int(function.memory_size),
        timeout_seconds=int(function.timeout),
        environment=tuple(sorted((function.environment_vars or {}).items())),
        file_systems=tuple((item["Arn"], item["LocalMountPath"]) for item in extra.get("FileSystemConfigs") or ()),
        layers=tuple(layer["Arn"] for layer in function.layers),
        log_group=logging.get("LogGroup") or f"/aws/lambda/{function.function_name}",
        log_format=logging.get("LogFormat") or "Text",
        log_level=logging.get("ApplicationLogLevel") or "",
    )


class CodeStore:
    """Unpacked deployment packages, by the SHA-256 of the archive."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def unpack(self, archive: bytes, sha256: str) -> Path:
        """The directory with an archive's files.

        Raises FunctionError where the archive is not the one of this SHA-256 (base64, as CodeSha256).
        """
        digest = hashlib.sha256(archive)
        if base64.b64encode(digest.digest()).decode() != sha256:
            raise FunctionError("InvalidCodeException", f"the deployment package's SHA-256 is not {sha256}")
        target = self._directory / digest.hexdigest()
        if not target.exists():
            partial = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
            partial.mkdir(parents=True)
            try:
                _extract(archive, partial)
                if not target.exists():
                    partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return target


def _extract(archive: bytes, directory: Path) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as package:
            for entry in package.infolist():
                path = Path(package.extract(entry, directory))
                executable = (entry.external_attr >> 16) & 0o111
                path.chmod(0o755 if path.is_dir() or executable else 0o644)
    except zipfile.BadZipFile as error:
        raise FunctionError("InvalidZipFileException", f"the deployment package is no zip archive: {error}") from error
    for path in directory.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)


class FunctionFactory:
    """Turns a function into the process that serves it."""

    def __init__(self, endpoint_url: str, file_systems: FileSystems, images: Images) -> None:
        self._endpoint_url = endpoint_url
        self._file_systems = file_systems
        self._images = images
        self._code = CodeStore(images.cache / "functions")
        self.gives_files_away = True  # whether a process can be allowed to change a file's owner

    def log_target(self, function: FunctionSnapshot) -> LogTarget:
        """A new log stream, named as Lambda names them."""
        day = datetime.now(UTC).strftime("%Y/%m/%d")
        stream = f"{day}/[{function.version}]{uuid.uuid4().hex}"
        return LogTarget(function.account, function.region, function.log_group, stream, create_group=True)

    def mounts(self, function: FunctionSnapshot) -> tuple[list[Mount], AccessPointMount | None]:
        """The function's file systems, and the first one, as whose user it runs.

        Raises FunctionError where one cannot be mounted.
        """
        mounts: list[Mount] = []
        first: AccessPointMount | None = None
        for arn, place in function.file_systems:
            try:
                mounted = self._file_systems.mount_access_point(arn, account=function.account, region=function.region)
            except MountError as error:
                message = f"The function couldn't mount the Amazon EFS file system with access point {arn}: {error}"
                raise FunctionError("EFSMountFailureException", message) from error
            first = first or mounted
            mounts.append(Mount(mounted.path, place))
        return mounts, first

    def process_spec(
        self, function: FunctionSnapshot, package: Package, api_address: str, target: LogTarget
    ) -> ProcessSpec:
        """The worker's process.

        Raises FunctionError where a package, an image or a file system is missing.
        """
        mounts, user = self.mounts(function)
        base = self._from_image(function) if function.package == "Image" else self._from_zip(function, package)
        environment = dict(base.env)
        environment |= role_environment(self._endpoint_url, function.region)
        environment |= _lambda_environment(function, api_address, target)
        environment |= dict(function.environment)
        return ProcessSpec(
            argv=base.argv,
            env=environment,
            cwd=base.cwd,
            scratch_root=self._images.cache / "scratch",
            mounts=[*base.mounts, *mounts],
            host_paths=base.host_paths,
            hidden=[self._file_systems.path],
            uid=DEFAULT_UID if user is None or user.uid is None else user.uid,
            gid=DEFAULT_UID if user is None or user.gid is None else user.gid,
            host_cwd=base.host_cwd,
        )

    def _from_zip(self, function: FunctionSnapshot, package: Package) -> ProcessSpec:
        code = self._code.unpack(package.archive, function.code_sha256)
        mounts = [Mount(code, TASK_ROOT, read_only=True)]
        for number, (archive, sha256) in enumerate(package.layers):
            # Later layers lie over earlier ones; Python finds them one by one instead.
            mounts.append(Mount(self._code.unpack(archive, sha256), f"{LAYERS_ROOT}/layer-{number}", read_only=True))
        layered = [f"{mount.target}/python" for mount in reversed(mounts[1:])]
        return ProcessSpec(
            argv=[sys.executable, *self._client_arguments(), function.handler],
            env={"PATH": f"{Path(sys.executable).parent}:{PATH}", "PYTHONPATH": ":".join([TASK_ROOT, *layered])},
            cwd=TASK_ROOT,
            scratch_root=self._images.cache,
            mounts=mounts,
            host_paths=interpreter_paths(),
        )

    def _from_image(self, function: FunctionSnapshot) -> ProcessSpec:
        try:
            image = self._images.resolve(function.image_uri)
        except (ImageNotFoundError, ImageError) as error:
            raise FunctionError("InvalidImage", str(error)) from error
        argv = image.command_line(function.command or image.command, function.entrypoint or None)
        if argv[1:3] == ["-m", RUNTIME_CLIENT]:
            argv = [argv[0], *self._client_arguments(), *argv[3:]]
        own = [Mount(mount.source, mount.target, read_only=True) for mount in image.mounts]
        workdir = function.workdir or image.workdir
        path = image.env.get("PATH", f"{image.python.parent}:{PATH}")
        return ProcessSpec(
            argv=argv,
            env={"PYTHONPATH": workdir} | image.env | {"PATH": path},
            cwd=workdir,
            scratch_root=self._images.cache,
            mounts=own,
            host_paths=image.host_paths,
            host_cwd=None if function.workdir else image.host_workdir,
        )

    def _client_arguments(self) -> list[str]:
        return ["-m", RUNTIME_CLIENT] if self.gives_files_away else ["-c", _OWNERSHIP_TOLERANT]


@dataclass(frozen=True)
class Package:
    """The archives of a function and its layers, each layer with its CodeSha256."""

    archive: bytes
    layers: Sequence[tuple[bytes, str]] = ()


def _lambda_environment(function: FunctionSnapshot, api_address: str, target: LogTarget) -> dict[str, str]:
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html."""
    environment = {
        "_HANDLER": function.handler or " ".join(function.command),
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime or 'Image'}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mib),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": function.log_format,
        "AWS_LAMBDA_LOG_GROUP_NAME": target.group,
        "AWS_LAMBDA_LOG_STREAM_NAME": target.stream,
        "AWS_LAMBDA_RUNTIME_API": api_address,
        "LAMBDA_TASK_ROOT": TASK_ROOT,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        **telemetry.ENVIRONMENT,
    }
    if function.log_level:
        environment["AWS_LAMBDA_LOG_LEVEL"] = function.log_level
    return environment
