"""python -m core.serving.export.hub_sender: the process that puts files on the hub.

Input: what `hub.push` asks for, as JSON. Output: one JSON object a line, `step` (words) while at work, and at
the end `address` or `error` (three parts).
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import CommitOperationAdd, HfApi, constants, set_client_factory
from huggingface_hub.errors import HfHubHTTPError

from core.base.errors import UserError
from core.base.formatting import count, size

EMPTY = {".gitattributes"}
"""What the hub itself puts into a new repository."""

AGAIN = "Try again: the hub shows nothing of it until all of it is there."


def main() -> None:
    """Do what standard input asks for."""
    request = json.load(sys.stdin)
    try:
        _say(address=_push(request))
    except UserError as error:
        _say(error=_without(request["token"], error))
    except Exception as error:  # noqa: BLE001 - the process boundary
        _say(error=_without(request["token"], _in_words(error, request["repo_id"])))


def _push(request: dict[str, Any]) -> str:
    if constants.is_offline_mode():
        raise UserError(
            "a hub that may be asked", "HF_HUB_OFFLINE, which forbids it", "Start without it, and try again."
        )
    # The library's own client waits for ever.
    set_client_factory(lambda: httpx2.Client(follow_redirects=True, timeout=request["patience"]))
    api = HfApi(endpoint=request["endpoint"], token=request["token"])
    repo_id = request["repo_id"]
    _say(step=f"Creating {repo_id}")
    _create(api, repo_id, request["private"])
    card = CommitOperationAdd("README.md", request["card"].encode())
    additions = [CommitOperationAdd(path, Path(file)) for path, file in request["files"].items()]
    total = sum(addition.upload_info.size for addition in additions)
    done = 0
    for number, addition in enumerate(additions, 1):
        _say(step=f"File {number} of {len(additions)}, {size(done)} of {size(total)} sent")
        api.preupload_lfs_files(repo_id, [addition], free_memory=False)
        done += addition.upload_info.size
    _say(step=f"Publishing {count(len(additions) + 1, 'file')}")
    api.create_commit(repo_id, [card, *additions], commit_message="Upload a model fine-tuned with Textuner")
    return f"{api.endpoint}/{repo_id}"


def _create(api: HfApi, repo_id: str, private: bool) -> None:
    try:
        api.create_repo(repo_id, private=private)
    except HfHubHTTPError as error:
        if error.response.status_code != 409:
            raise
        # A push that broke off left it empty.
        known = api.model_info(repo_id)
        if {file.rfilename for file in known.siblings or []} <= EMPTY and bool(known.private) == private:
            return
        raise UserError(
            "a name that is free on the hub",
            f"a repository that is called {repo_id} already",
            "Choose another name; what is there is left as it is.",
        ) from error


def _in_words(error: Exception, repo_id: str) -> UserError:
    causes = list(_chain(error))
    answered = next((cause for cause in causes if isinstance(cause, HfHubHTTPError)), None)
    if answered is not None:
        return _refusal(answered, repo_id)
    if any(isinstance(cause, httpx2.TransportError) for cause in causes):
        remedy = f"Check the network of the machine that runs Textuner. {AGAIN}"
        return UserError("a network that leads to the hub", "no answer from it", remedy)
    return UserError("an upload that the hub takes", f"{type(error).__name__}: {str(error)[:300]}", AGAIN)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refusal(error: HfHubHTTPError, repo_id: str) -> UserError:
    status = error.response.status_code
    if status == 401:
        return UserError(
            "a token that the hub knows",
            "one that it refuses (401)",
            "Make a new one with the right to write at huggingface.co/settings/tokens.",
        )
    if status in (403, 404):
        return UserError(
            f"a token that may write to {repo_id}",
            f"one that may not ({status})",
            "Give it the right to write there, or choose your own name as the owner.",
        )
    if status == 413:
        return UserError(
            "files that are small enough for the hub",
            "larger ones (413)",
            "Leave ONNX out, or choose a smaller model.",
        )
    if status == 429:
        return UserError("fewer requests", "too many for the hub (429)", f"Wait some minutes. {AGAIN}")
    said = f": {error.server_message[:300]}" if error.server_message else ""
    return UserError("an upload that the hub takes", f"its answer {status}{said}", AGAIN)


def _without(token: str, error: UserError) -> list[str]:
    return [part.replace(token, "…") for part in error.args]


def _say(**event: object) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
