"""A checkpoint on the Hugging Face hub, read by range requests: its headers and samples, not its gigabytes."""

import time

from harness.errors import HarnessError
from harness.hub import access
from harness.hub.failures import Place
from harness.hub.waiting import bound

TIMEOUT_S = 20.0
TRIES = 3


class HubFiles:
    """Raises HarnessError when the hub does not answer, or does not answer range requests."""

    remote = True

    def __init__(self, repository: str, revision: str | None = None):
        from huggingface_hub import HfApi
        from huggingface_hub.utils import build_hf_headers

        self.place = f"{repository}@{revision}" if revision else repository
        self.repository = repository
        bound()
        if reason := access.problem(Place(repository, "model", revision)):  # with retries, and before the files' sizes
            raise HarnessError(reason)
        try:
            info = HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
        except Exception as error:  # huggingface_hub raises its own, its HTTP library's and OSError
            raise HarnessError(access.why(error, Place(repository, "model", revision))) from None
        self.commit = info.sha or revision or "main"
        self._sizes = {entry.rfilename: entry.size or 0 for entry in info.siblings or []}
        self._headers = build_hf_headers()
        self._direct: dict[str, str] = {}

    def names(self) -> dict[str, int]:
        return self._sizes

    def read(self, name: str, offset: int, size: int) -> bytes:
        if size <= 0:
            return b""
        said = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(0.5 * attempt)
                self._direct.pop(name, None)  # a signed address that has run out
            try:
                status, data = self._range(name, offset, size)
            except Exception as error:
                said = f"did not answer ({type(error).__name__}: {error})"
                continue
            if status == 416:  # beyond the file's end
                return b""
            if data is not None:
                return data[:size]
            said = f"answers {status} to a range request"
        raise HarnessError(f"checkpoint {self.place}: the hub {said} for {name}; try again, or name a directory")

    def _range(self, name: str, offset: int, size: int) -> tuple[int, bytes | None]:
        """(status, bytes or None). The hub redirects to its file servers: asked once a file, gone to at once later."""
        from huggingface_hub import get_session, hf_hub_url

        url = hf_hub_url(self.repository, name, revision=self.commit)
        direct = self._direct.get(name)
        headers = {} if direct else dict(self._headers)  # the token is the hub's, not its file servers'
        headers["Range"] = f"bytes={offset}-{offset + size - 1}"
        options = {"follow_redirects": True, "timeout": TIMEOUT_S}
        with get_session().stream("GET", direct or url, headers=headers, **options) as answer:
            whole = answer.status_code == 200 and offset == 0 and size >= self._sizes.get(name, size)
            if answer.status_code != 206 and not whole:
                return answer.status_code, None
            if answer.history:
                self._direct[name] = str(answer.url)
            return answer.status_code, answer.read()
