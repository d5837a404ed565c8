"""A model folder to a hub and from one: the small folder that `model.store` writes, nothing else, and no pickle.

Knows the names of its files. What comes down is checked before it stands in its place.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from perceptiongpt.model.folders import replace_folder
from perceptiongpt.model.store import CARD, CONFIG, model_folder, read_config

FILES = [CONFIG, CARD, "*.safetensors", "*.safetensors.gz", "adapter/*.json", "adapter/*.safetensors"]
FILES += ["processor/*.json", "processor/*.jinja", "processor/*.txt", "processor/*.model"]
LIMIT = 64 << 30  # bytes


def push(folder: str | Path, repo: str, private: bool = False) -> str:
    """Upload a model folder (of a run: its best, else its last model) to `repo` ("owner/name"); the address.

    The repository is made where there is none. Raises ValueError for what is no model folder or what a hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    found = model_folder(folder)
    read_config(found)
    if not (found / CARD).is_file():
        raise ValueError(f"{found} has no {CARD}; a model goes out with its card, so train it with this version")
    try:
        api = HfApi()
        api.create_repo(repo, private=private, exist_ok=True)
        told = api.upload_folder(repo_id=repo, folder_path=found, allow_patterns=FILES, commit_message="Upload model")
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ValueError(f"{repo} could not be written to ({_line(error)}); see that you are logged in") from error
    return str(told)


def pull(repo: str, folder: str | Path, revision: str | None = None) -> Path:
    """Download a model folder into `folder`, which must be new or hold a model; it stands there whole or not at all.

    Raises ValueError where there is none, where it is no model of ours, and where it is over LIMIT bytes.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    target = Path(folder).expanduser()
    if target.exists() and not (target / CONFIG).is_file():
        raise ValueError(f"{target} is there and holds no model; name a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        size = sum(f.size or 0 for f in HfApi().model_info(repo, revision=revision, files_metadata=True).siblings or ())
        if size > LIMIT:
            raise ValueError(f"{repo} holds {size >> 30} GB; at most {LIMIT >> 30} are taken")
        snapshot_download(repo, revision=revision, local_dir=work, allow_patterns=FILES)
        shutil.rmtree(work / ".cache", ignore_errors=True)  # the downloader's own notes
        read_config(work)
        replace_folder(work, target)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ValueError(f"{repo} could not be had ({_line(error)}); see that its name is right") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
