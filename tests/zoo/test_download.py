"""Downloads from a server of this process that does what servers do: cuts, lies, sends pages."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn

import pytest

from genviews.load.generator import load_generator
from genviews.load.pipelines import load_pipeline
from genviews.zoo.download import download
from genviews.zoo.published import (
    WeightsCard,
    find_card,
    get_weights,
    kept_weights,
    published,
    weights_folder,
)

DATA = bytes(range(256)) * 1200  # several reads long
DIGEST = hashlib.sha256(DATA).hexdigest()
CUT = 100_000  # bytes after which the server hangs up


class Handler(BaseHTTPRequestHandler):
    """One path for each thing that a server may do; what was asked is in `server.asked`."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        getattr(self, f"get_{self.path.strip('/').split('/')[0].split('?')[0]}")()

    def log_message(self, *words):
        pass

    def send(self, data, code=200, length=None, **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length != 0:
            self.send_header("Content-Length", str(length or len(data)))
        self.end_headers()
        self.wfile.write(data)

    def get_plain(self):
        self.send(DATA)

    def get_endless(self):  # says no length
        self.send(DATA, length=0)

    def get_range(self, data=DATA, tag='"v1"', cut=False):
        begin = self.headers.get("Range")
        if begin and self.headers.get("If-Range", tag) == tag:
            first = int(begin.removeprefix("bytes=").rstrip("-"))
            if first >= len(data):
                self.send(b"", 416, Content_Range=f"bytes */{len(data)}")
                return
            where = f"bytes {first}-{len(data) - 1}/{len(data)}"
            self.send(data[first:], 206, Content_Range=where, ETag=tag)
        elif cut:
            self.send(data[:CUT], length=len(data), ETag=tag)
        else:
            self.send(data, ETag=tag)

    def get_cut(self):  # hangs up once, and can go on
        self.get_range(cut=True)

    def get_replaced(self):  # the file is another one when the rest is asked for
        first = len(self.server.asked) == 1
        self.get_range(DATA if first else DATA[::-1], '"v1"' if first else '"v2"', cut=first)

    def get_stubborn(self):  # hangs up once, knows no ranges
        self.send(DATA[:CUT] if len(self.server.asked) == 1 else DATA, length=len(DATA))

    def get_always_cut(self):
        self.send(DATA[:CUT], length=len(DATA))

    def get_page(self):
        self.send(b"<!DOCTYPE html><title>Sign in</title>", Content_Type="text/html")

    def get_quota(self):
        page = b"<html><title>Google Drive - Quota exceeded</title>Too many users have viewed"
        self.send(page, Content_Type="text/html")

    def get_virus(self):
        self.send(b"<html>cannot scan for viruses. <form id=confirm>", Content_Type="text/html")

    def get_pointer(self):
        self.send(b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n")

    def get_error(self):
        self.send(b'{"error": "no"}', Content_Type="application/json")

    def get_loop(self):
        self.send(b"", 302, Location="/loop")

    def get_moved(self):
        self.send(b"", 302, Location="/plain")

    def get_file(self):
        self.send(b"", 302, Location="file:///etc/passwd")

    def get_404(self):
        self.send(b"nothing", 404)

    def get_403(self):
        self.send(b"<html>Quota exceeded</html>" if "quota" in self.path else b"no", 403)

    def get_busy(self):
        self.send(b"", 503) if len(self.server.asked) < 3 else self.send(DATA)

    def get_silent(self):
        self.send_response(200)
        self.end_headers()
        self.server.ended.wait(5)


class Server(ThreadingMixIn, TCPServer):
    """A server that asks no names of the network, as `HTTPServer` does."""

    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture(scope="module")
def serving():
    made = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def server(serving, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    serving.asked, serving.ended = [], threading.Event()
    yield serving
    serving.ended.set()


@pytest.fixture
def fetch(server, tmp_path):
    def run(path, **settings):
        url = f"http://127.0.0.1:{server.server_address[1]}/{path}"
        return download(url, tmp_path / "net.pkl", **{"pause": 0.0, "attempts": 3, **settings})

    return run


def left(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("path", "requests"),
    [
        ("plain", [None]),
        ("endless", [None]),
        ("moved", [None, None]),
        ("cut", [None, f"bytes={CUT}-"]),
        ("replaced", [None, f"bytes={CUT}-"]),
        ("stubborn", [None, f"bytes={CUT}-"]),
        ("busy", [None, None, None]),
    ],
)
def test_the_file_comes_whole(fetch, server, tmp_path, path, requests):
    told = []
    # Of a server without marks of versions, what is here is gone on with if the hash is known.
    known = None if path == "replaced" else DIGEST
    digest = fetch(path, sha256=known, progress=lambda done, total: told.append((done, total)))
    wanted = DATA[::-1] if path == "replaced" else DATA
    assert (tmp_path / "net.pkl").read_bytes() == wanted
    assert digest == hashlib.sha256(wanted).hexdigest()
    assert [asked for _, asked in server.asked] == requests
    assert left(tmp_path) == ["net.pkl"]
    assert told[-1] == (len(DATA), None if path == "endless" else len(DATA))


def test_a_later_call_goes_on(fetch, server, tmp_path):
    with pytest.raises(OSError, match=r"100,000 of 307,200 bytes, after 1 attempts; 100,000 byt"):
        fetch("cut", attempts=1)
    assert not (tmp_path / "net.pkl").exists()
    assert fetch("cut", attempts=1) == DIGEST
    assert [asked for _, asked in server.asked] == [None, f"bytes={CUT}-"]


def test_bytes_of_two_files_are_never_put_together(fetch, server, tmp_path):
    """Without a mark of its version or a hash, or of another URL, it begins anew."""
    for path in ("always_cut", "always_cut", "cut?elsewhere"):
        server.asked.clear()
        with pytest.raises(OSError, match="100,000 of"):
            fetch(path, attempts=1)
        assert server.asked == [(f"/{path}", None)]
    fetch("range")
    assert server.asked[-1] == ("/range", None)


def test_what_was_whole_and_not_yet_kept_is_kept(fetch, server, tmp_path):
    with pytest.raises(OSError, match="bytes"):
        fetch("cut", attempts=1)
    with (tmp_path / ".net.pkl.part").open("ab") as file:
        file.write(DATA[CUT:])
    assert fetch("cut", attempts=1) == DIGEST
    assert server.asked[-1] == ("/cut", f"bytes={len(DATA)}-")


@pytest.mark.parametrize(
    ("path", "settings", "message"),
    [
        ("page", {}, "expected the file itself, got a web page: sign in; try again later"),
        ("quota", {}, "got a web page: so many have downloaded it today that the quota is used"),
        ("403?quota", {}, "the quota is used up"),
        ("virus", {}, "a web page that asks to confirm the download"),
        ("pointer", {}, "expected the file itself, got a pointer of Git LFS"),
        ("error", {}, r"got a text \(application/json\)"),
        ("loop", {}, "got redirects that never end"),
        ("file", {}, "got .* is not allowed"),
        ("404", {}, r"got no such file there \(404\)"),
        ("403", {}, r"got no permission to have it \(403\)"),
        ("plain", {"sha256": "ab" * 32, "stated_by": "X"}, r"SHA-256 abab.*\(stated by X\), got"),
        ("plain", {"size": 5}, "expected 5 bytes, got a file of 307,200"),
        ("endless", {"size": 5}, "expected at most 5 bytes, got more"),
        ("always_cut", {"sha256": DIGEST}, "416|100,000 of 307,200 bytes, after 3 attempts"),
        ("silent", {"timeout": 0.05, "attempts": 2}, "got no byte for 0.05 s, after 2 attempts"),
    ],
)
def test_anything_else_is_told_and_not_kept(fetch, tmp_path, path, settings, message):
    with pytest.raises(OSError, match=message):
        fetch(path, **settings)
    assert not (tmp_path / "net.pkl").exists()
    if path not in ("always_cut", "silent"):
        assert not list(tmp_path.glob(".*.part"))


def test_no_server_and_no_url_are_told(tmp_path):
    with pytest.raises(OSError, match=r"expected the whole file, got connection refused, after 2"):
        download("http://127.0.0.1:1/x", tmp_path / "x", attempts=2, pause=0)
    with pytest.raises(ValueError, match="expected http:// or https://, got file:///etc/passwd"):
        download("file:///etc/passwd", tmp_path / "x")


def test_one_process_downloads_a_file(fetch, server, tmp_path):
    def wait():
        with suppress(OSError):
            fetch("silent", attempts=1, timeout=2.0)

    second = threading.Thread(target=wait)
    second.start()
    while not server.asked:
        time.sleep(0.001)
    with pytest.raises(OSError, match="another process that downloads it"):
        fetch("plain")
    server.ended.set()
    second.join()


@pytest.fixture
def card(server):
    return WeightsCard(
        name="net",
        file="big.net.pkl",
        url=f"http://127.0.0.1:{server.server_address[1]}/plain",
        about="digits",
        family="stylegan2",
        licence="a licence",
        commercial="no",
        source="a page",
        citation="a paper",
    )


class TestWeights:
    def test_a_file_is_downloaded_once_and_recorded(self, card, server, tmp_path):
        found = get_weights(card, folder=tmp_path)
        again = get_weights(card, folder=tmp_path)
        assert len(server.asked) == 1
        assert found.path == tmp_path / "net.net.pkl"
        assert (found.new, again.new, again.sha256) == (True, False, DIGEST)
        assert card.notice == "net: not for commercial use (a licence)"
        record = json.loads((tmp_path / "net.net.pkl.json").read_text())
        assert record["sha256"] == DIGEST
        assert record["verified"].startswith("unverified: nobody states a SHA-256; recorded")
        assert (record["licence"], record["size"]) == ("a licence", len(DATA))

    def test_an_unverified_file_is_compared_with_its_first_download(self, card, tmp_path):
        found = get_weights(card, folder=tmp_path)
        found.path.write_bytes(b"other")
        with pytest.raises(OSError, match=r"stated by net\.net\.pkl\.json, at the first download"):
            get_weights(card, folder=tmp_path)

    def test_a_stated_hash_is_what_counts(self, card, tmp_path):
        right = replace(card, sha256=DIGEST, size=len(DATA), stated_by="its authors")
        assert get_weights(right, folder=tmp_path).verified == "as stated by its authors"
        with pytest.raises(OSError, match="stated by its authors"):
            get_weights(replace(right, sha256="0" * 64), folder=tmp_path)

    def test_a_file_of_the_user_takes_the_place_of_a_download(self, card, server, tmp_path):
        (tmp_path / "mine.pkl").write_bytes(DATA)
        right = replace(card, sha256=DIGEST, size=len(DATA), stated_by="X")
        found = get_weights(right, folder=tmp_path / "kept", file=tmp_path / "mine.pkl")
        assert found.path.read_bytes() == DATA
        assert server.asked == []
        for data, message in (
            (DATA[1:], "307,200 bytes"),
            (DATA[::-1], "SHA-256"),
            (b"<html>", ""),
        ):
            (tmp_path / "mine.pkl").write_bytes(data)
            with pytest.raises((OSError, ValueError), match=message or "got a web page"):
                get_weights(right, folder=tmp_path / "other", file=tmp_path / "mine.pkl")
        assert not (tmp_path / "other").exists()

    def test_the_folder_is_that_of_the_platform_or_the_user(self, monkeypatch, tmp_path):
        monkeypatch.delenv("GENVIEWS_WEIGHTS", raising=False)
        monkeypatch.setattr("sys.platform", "linux")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert weights_folder() == tmp_path / "genviews/weights"
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert weights_folder() == tmp_path / ".cache/genviews/weights"
        monkeypatch.setenv("GENVIEWS_WEIGHTS", "~/mine")
        assert weights_folder() == tmp_path / "mine"
        assert weights_folder("here").name == "here"
        assert kept_weights("stylegan2-ffhq") is None


class Hub:
    """As the client of the hub, which knows one repository."""

    files = ("model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors")
    files = (*files, "README.md", "text_encoder/model.safetensors", "tokenizer/merges.txt")
    others = ("whole.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors", "a.onnx")
    others = (*others, "unet/diffusion_pytorch_model.bin", "safety_checker/model.safetensors")

    def __init__(self):
        self.asked = []

    def snapshot_download(self, name, *, local_dir, allow_patterns, ignore_patterns):
        self.asked.append(name)
        if len(self.asked) == 1:
            raise ConnectionError("cut\nin the middle")
        for file in (*self.files, *self.others):
            wanted = any(fnmatch(file, one) for one in allow_patterns)
            if wanted and not any(fnmatch(file, one) for one in ignore_patterns):
                path = Path(local_dir) / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(file)
        (Path(local_dir) / ".cache").mkdir(exist_ok=True)
        (Path(local_dir) / ".cache" / "state.json").write_text(str(time.time()))


class TestFolders:
    @pytest.fixture
    def hub(self, monkeypatch):
        client = Hub()
        monkeypatch.setitem(sys.modules, "huggingface_hub", client)
        return client

    def test_a_folder_is_brought_once_and_recorded(self, hub, tmp_path):
        with pytest.raises(OSError, match=r"huggingface\.co/stabilityai/sd-turbo, got cut; "):
            get_weights("sd-turbo", folder=tmp_path)
        (tmp_path / "sd-turbo").mkdir()
        assert kept_weights("sd-turbo", tmp_path) is None  # it may be half of it
        first = get_weights("sd-turbo", folder=tmp_path)
        found = {one.relative_to(first.path) for one in first.path.rglob("*") if one.is_file()}
        assert {str(one) for one in found if one.parts[0] != ".cache"} == set(Hub.files)
        assert first.new
        assert "unverified" in first.verified
        assert kept_weights("sd-turbo", tmp_path) == first.path == tmp_path / "sd-turbo"
        again = get_weights("sd-turbo", folder=tmp_path)
        assert (again.sha256, again.new, len(hub.asked)) == (first.sha256, False, 2)
        record = json.loads((tmp_path / "sd-turbo.json").read_text())
        assert (record["hub"], record["sha256"]) == ("stabilityai/sd-turbo", first.sha256)

    def test_another_folder_is_told(self, hub, tmp_path):
        hub.asked.append("")
        path = get_weights("taesd", folder=tmp_path).path
        (path / "model_index.json").write_text("another")
        with pytest.raises(OSError, match=r"taesd: expected SHA-256 .*at the first download"):
            get_weights("taesd", folder=tmp_path)
        with pytest.raises(ValueError, match="none: it is a folder"):
            get_weights("taesd", folder=tmp_path, file=path / "model_index.json")

    def test_a_name_is_its_generator(self, hub, tmp_path, monkeypatch):
        monkeypatch.setenv("GENVIEWS_WEIGHTS", str(tmp_path))
        with pytest.raises(FileNotFoundError, match="genviews generator get taesd"):
            load_generator("taesd")
        hub.asked.append("")
        (get_weights("taesd").path / "model_index.json").write_text('{"_class_name": "Another"}')
        for load in (load_generator, load_pipeline):
            with pytest.raises(ValueError, match=r"generator taesd: .*got Another"):
                load("taesd")


class TestCards:
    def test_each_says_where_whose_and_under_which_licence(self):
        cards = published()
        assert len({one.url for one in cards.values()}) == len(cards) > 50
        assert len({one.kept_as for one in cards.values()}) == len(cards)
        for one in cards.values():
            assert one.url.startswith(("https://", "http://latent-composition.csail.mit.edu/"))
            assert all((one.licence, one.source, one.citation, one.about))
            assert (one.sha256 is not None or one.size is not None) == bool(one.stated_by)
            assert one.sha256 is None or len(bytes.fromhex(one.sha256)) == 32

    def test_families_are_ours(self):
        from genviews.generators.families import FAMILIES

        families = {one.family for one in published().values() if not one.hub}
        assert families <= set(FAMILIES)
        assert {one.family for one in published().values() if one.hub} == {"diffusers"}

    def test_a_name_that_there_is_not(self):
        with pytest.raises(ValueError, match="did you mean 'stylegan2-ffhq'"):
            find_card("stylegan2-fhq")
