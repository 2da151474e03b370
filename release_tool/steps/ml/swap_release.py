"""The release that a swap brings: its certificate, archive, register request and the oracle's answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.errors import IntegrityError, UsageError, ValidationFailed

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.bundle import FileDigest
    from release_tool.core.certificate import Certificate
    from release_tool.documents import WorkFolder

CERTIFICATES = "certificate-*.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapRelease:
    """A certified archive in a folder."""

    folder: WorkFolder
    certificate: Certificate

    @property
    def sha256(self) -> str:
        """Of the archive."""
        return self.certificate.archive_sha256

    @property
    def answers(self) -> Path:
        """The oracle's answers.

        Raises:
            IntegrityError: they are missing, or not those of the certificate.
        """
        from release_tool.documents import file_sha256
        from release_tool.models.answers import answers_name

        path = self.folder.path(answers_name(self.certificate.bundle.kind))
        if not path.is_file():
            raise UsageError(
                f"{path.name} is not in {self.folder.folder}.", hint="Name the folder that has it with --release."
            )
        if file_sha256(path) != self.certificate.answers_sha256:
            raise IntegrityError(f"{path.name} does not hold the answers of the certificate.")
        return path

    def archive(self) -> Path:
        """Return the archive, its bytes checked."""
        return self._file(self.certificate.bundle.archive)

    def config(self) -> dict[str, Any]:
        """Return the register request that belongs to the archive, its bytes checked."""
        from release_tool.archives.reading import read_config

        return read_config(self._file(self.certificate.bundle.config))

    def _file(self, wanted: FileDigest) -> Path:
        """Return a file of the release: where the work folder has it, or beside the certificate."""
        from release_tool.documents import file_sha256

        places = [self.folder.path(wanted.path), self.folder.path(wanted.path.rpartition("/")[2])]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise UsageError(
                f"{wanted.path} is not in {self.folder.folder}.", hint="Name the folder that has it with --release."
            )
        if file_sha256(path) != wanted.sha256:
            raise IntegrityError(f"{path.name} is not the file of the certificate: its bytes are others.")
        return path


def read_swap_release(folder: Path, artifact: str | None, sha256: str | None) -> SwapRelease:
    """Return the release in a folder.

    Args:
        folder: a work folder, or a copy of what was published.
        artifact: which archive; null: the only one, or the one of ``sha256``.
        sha256: of the archive that the cluster has; null where it is still to be registered.

    Raises:
        UsageError: there is no certificate, or more than one could be meant.
        IntegrityError: a certificate is about other bytes than the cluster has.
        ValidationFailed: the archive is not proven.
    """
    from release_tool.core.certificate import Certificate, certificate_name
    from release_tool.documents import WorkFolder

    work = WorkFolder(folder)
    names = [certificate_name(artifact)] if artifact else sorted(path.name for path in folder.glob(CERTIFICATES))
    found: list[Certificate] = [work.read(Certificate, name, made_by="validate") for name in names]
    chosen = [one for one in found if sha256 in (None, one.archive_sha256)]
    if not found:
        raise UsageError(f"{folder} has no certificate.", hint="Run release-tool validate, or name another folder.")
    if not chosen:
        raise IntegrityError(
            f"The model on the cluster has other bytes than the archives of {folder}.",
            hint="Name the folder of its own release with --release.",
        )
    if len(chosen) > 1:
        known = ", ".join(sorted(one.artifact for one in chosen))
        raise UsageError(f"{folder} holds several archives.", hint=f"Name one with --artifact: {known}.")
    (certificate,) = chosen
    if not certificate.green:
        reasons = [line for lines in certificate.failures().values() for line in lines]
        raise ValidationFailed(f"The archive {certificate.artifact} of {folder} is not proven: {'; '.join(reasons)}")
    return SwapRelease(folder=work, certificate=certificate)
