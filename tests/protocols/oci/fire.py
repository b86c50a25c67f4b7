"""Clients that push, delete, re-push and mount the same few blobs, and what must hold for them at every moment."""

import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from tests.protocols.oci.client import INDEX, MANIFEST, descriptor, digest, image

REPOSITORIES: Final = ("fire/a", "fire/b", "fire/deleting")
DELETING: Final = REPOSITORIES[2]
"""Here blobs are deleted too: then a blob may be gone right after a HEAD has seen it."""
CONFIG: Final = b"{}"
BLOBS: Final = tuple(random.Random(number).randbytes([300, 20_000, 70_000][number % 3]) for number in range(150))
BY_DIGEST: Final = {digest(blob): blob for blob in (CONFIG, *BLOBS)}
LOOKS: Final = 5
"""How often a loss is looked for again: one that is none ends when somebody deletes or pushes once more."""


class Gone(Exception):
    """The server is being killed, or its store does not answer: nobody knows what was done."""


@dataclass
class World:
    """What all clients share. `grace_s` is that of the servers."""

    urls: Sequence[str]
    grace_s: float
    stop: threading.Event = field(default_factory=threading.Event)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Caller:
    """Calls one server until it is gone, then another."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self._clients = [httpx.Client(base_url=url, timeout=20) for url in world.urls]
        self._at = seed % len(self._clients)

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer. Raises Gone."""
        try:
            answer = self._clients[self._at].request(method, path, **options)
        except httpx.TransportError as exc:
            self._at = (self._at + 1) % len(self._clients)
            raise Gone from exc
        if self.chance.random() < 0.2:
            self._at = self.chance.randrange(len(self._clients))
        if answer.status_code == 503:
            raise Gone
        if answer.status_code >= 500:
            self.world.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer

    def close(self) -> None:
        for client in self._clients:
            client.close()


@dataclass(frozen=True)
class Pushed:
    """A manifest, the manifests below it, and the blobs of them all."""

    data: bytes
    kind: str
    children: tuple[bytes, ...]
    blobs: tuple[bytes, ...]

    @property
    def all(self) -> Iterator[tuple[bytes, str]]:
        """Manifests, parents first."""
        yield self.data, self.kind
        for child in self.children:
            yield child, MANIFEST


class Client:
    """Has a tag of its own in each repository, on manifests that nobody else pushes, over blobs of all."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._caller = Caller(world, number)
        self._chance = self._caller.chance
        self._tag = f"client{number}"
        self._numbers = iter(range(1_000_000))
        self._own: dict[str, Pushed | None] = {}
        """What is acknowledged; a repository is missing while that is not known."""

    def run(self) -> None:
        """Work until the world stops."""
        while not self._world.stop.is_set():
            repository = self._chance.choice(REPOSITORIES)
            try:
                self._chance.choice(
                    (self._push, self._push, self._delete, self._delete, self._mount, self._delete_blob)
                )(repository)
                self._check(repository)
            except Gone:
                self._world.counts["gone"] += 1
        self._caller.close()

    def _push(self, repository: str) -> None:
        old = self._own.pop(repository, None)
        pushed = self._make()
        began = self._have(repository, pushed.blobs)
        if began is None:
            return
        for child in pushed.children:
            if not self._put(repository, digest(child), child, MANIFEST, began):
                return
        if self._put(repository, self._tag, pushed.data, pushed.kind, began):
            self._own[repository] = pushed
            if old is not None:
                self._forget(repository, old)

    def _make(self) -> Pushed:
        marks: Iterator[dict[str, Any]] = (
            {"annotations": {"of": f"{self._tag} {next(self._numbers)}"}} for _ in range(3)
        )
        layers = [tuple(self._chance.sample(BLOBS, 2)) for _ in range(2)]
        if self._chance.random() < 0.6:
            return Pushed(image(*layers[0], **next(marks)), MANIFEST, (), (CONFIG, *layers[0]))
        children = tuple(image(*each, **next(marks)) for each in layers)
        listed = {"manifests": [descriptor(child, MANIFEST) for child in children], **next(marks)}
        data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, **listed}).encode()
        return Pushed(data, INDEX, children, (CONFIG, *layers[0], *layers[1]))

    def _have(self, repository: str, blobs: Sequence[bytes]) -> float | None:
        """Push what is not there. When the HEADs began that saw all of them; None if one was not there again."""
        for blob in blobs:
            if not self._is_there(repository, blob):
                self._bring(repository, blob)
        began = time.monotonic()
        return began if all(self._is_there(repository, blob) for blob in blobs) else None

    def _is_there(self, repository: str, blob: bytes) -> bool:
        return self._caller.call("HEAD", f"/v2/{repository}/blobs/{digest(blob)}").status_code == 200

    def _bring(self, repository: str, blob: bytes) -> None:
        path, query = f"/v2/{repository}/blobs/uploads/", {"digest": digest(blob)}
        if self._chance.random() < 0.4:
            other = self._chance.choice(REPOSITORIES)
            answer = self._caller.call("POST", path, params={"mount": digest(blob), "from": other})
        else:
            answer = self._caller.call("POST", path)
        if answer.status_code == 201:
            self._world.counts["mounted"] += 1
            return
        upload = answer.headers["location"]
        if self._chance.random() < 0.5:
            self._expect(self._caller.call("PATCH", upload, content=blob), 202)
            self._expect(self._caller.call("PUT", upload, params=query), 201)
        else:
            self._expect(self._caller.call("PUT", upload, params=query, content=blob), 201)
        self._world.counts["uploaded"] += 1

    def _put(self, repository: str, reference: str, data: bytes, kind: str, began: float) -> bool:
        path = f"/v2/{repository}/manifests/{reference}"
        answer = self._caller.call("PUT", path, content=data, headers={"content-type": kind})
        in_time = time.monotonic() - began < self._world.grace_s / 2
        if answer.status_code == 400 and (repository == DELETING or not in_time):
            self._world.counts["late or deleted"] += 1
            return False
        self._expect(answer, 201)
        self._world.counts["pushed in time" if in_time else "pushed late"] += 1
        return answer.status_code == 201

    def _delete(self, repository: str) -> None:
        old = self._own.pop(repository, None)
        if old is not None:
            if self._chance.random() < 0.5:
                self._expect(self._caller.call("DELETE", f"/v2/{repository}/manifests/{self._tag}"), 202)
            self._forget(repository, old)
            self._own[repository] = None

    def _forget(self, repository: str, old: Pushed) -> None:
        for data, _ in old.all:
            self._caller.call("DELETE", f"/v2/{repository}/manifests/{digest(data)}")

    def _mount(self, repository: str) -> None:
        blob, other = self._chance.choice(BLOBS), self._chance.choice(REPOSITORIES)
        path = f"/v2/{repository}/blobs/uploads/"
        answer = self._caller.call("POST", path, params={"mount": digest(blob), "from": other})
        if answer.status_code == 201 and repository != DELETING:
            began = time.monotonic()
            there = self._is_there(repository, blob)
            if not there and time.monotonic() - began < self._world.grace_s / 2:
                self._world.wrong.append(f"{repository} {digest(blob)} is not there right after a mount")

    def _delete_blob(self, repository: str) -> None:
        if repository == DELETING:
            path = f"/v2/{repository}/blobs/{digest(self._chance.choice(BLOBS))}"
            answer = self._caller.call("DELETE", path)
            self._world.counts[f"blob delete {answer.status_code}"] += 1

    def _check(self, repository: str) -> None:
        """What was acknowledged to this client is so, at whichever server."""
        if repository not in self._own:
            return
        own = self._own[repository]
        answer = self._caller.call("GET", f"/v2/{repository}/manifests/{self._tag}")
        if own is None:
            self._expect(answer, 404)
        elif answer.content != own.data:
            self._world.wrong.append(f"{repository}:{self._tag} is {answer.status_code}, not what was pushed")

    def _expect(self, answer: httpx.Response, status: int) -> None:
        if answer.status_code != status:
            said = f"{answer.status_code} {answer.text[:300]}"
            self._world.wrong.append(f"{answer.request.method} {answer.request.url.path}: {said}, not {status}")


class Watcher:
    """Looks at every tag: all that can be reached from it is there, and has the bytes of its digest."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._caller = Caller(world, 99)

    def run(self) -> None:
        """Look until the world stops."""
        while not self._world.stop.is_set():
            try:
                self.look()
            except Gone:
                self._world.counts["watcher gone"] += 1
        self._caller.close()

    def close(self) -> None:
        """For one that does not run."""
        self._caller.close()

    def look(self) -> None:
        """Look once at all tags. Raises Gone."""
        for repository in REPOSITORIES:
            answer = self._caller.call("GET", f"/v2/{repository}/tags/list")
            for tag in answer.json()["tags"] if answer.status_code == 200 else []:
                self._look_at(repository, tag)
                self._world.counts["tags looked at"] += 1

    def _look_at(self, repository: str, tag: str) -> None:
        lost: list[set[str]] = []
        for _ in range(LOOKS):
            answer = self._caller.call("GET", f"/v2/{repository}/manifests/{tag}")
            if answer.status_code == 404:
                return
            found = set(self._lost(repository, answer))
            if not found:
                return
            lost.append({f"{answer.headers['docker-content-digest']} lacks {each}" for each in found})
        if forever := set.intersection(*lost):
            self._world.wrong.append(f"{repository}:{tag} {sorted(forever)}")

    def _lost(self, repository: str, answer: httpx.Response) -> Iterator[str]:
        """What a manifest names and is not there. Bytes that are others are wrong at once."""
        self._hashes(answer, answer.headers["docker-content-digest"])
        manifest = answer.json()
        for child in manifest.get("manifests", ()):
            below = self._caller.call("GET", f"/v2/{repository}/manifests/{child['digest']}")
            if below.status_code == 404:
                yield child["digest"]
            else:
                yield from self._lost(repository, below)
        for blob in (*([manifest["config"]] if "config" in manifest else []), *manifest.get("layers", ())):
            found = self._caller.call("GET", f"/v2/{repository}/blobs/{blob['digest']}")
            if found.status_code == 404:
                yield blob["digest"]
            else:
                self._hashes(found, blob["digest"])

    def _hashes(self, answer: httpx.Response, wanted: str) -> None:
        if answer.status_code != 200 or f"sha256:{hashlib.sha256(answer.content).hexdigest()}" != wanted:
            self._world.wrong.append(f"{answer.request.url.path}: {answer.status_code}, not the bytes of {wanted}")


def started(*work: Callable[[], None]) -> list[threading.Thread]:
    """Each in a thread of its own."""
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    return threads
