"""Downloads: over https only, resumed where they broke off, kept only if they are the published file."""

import fcntl
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from https_server import Site, serving

from vicinal.errors import VicinalError
from vicinal.files import checksum
from vicinal.jobs.download import download, provide

DATA = bytes(range(256)) * 10_000  # 2.56 MB
SHA256 = hashlib.sha256(DATA).hexdigest()
CLOSED = "https://127.0.0.1:9/"  # nobody listens there: offline


@pytest.fixture
def site(trusted):
    """Serve the file over https, which is trusted."""
    with serving(Site({"/file": DATA}), trusted) as running:
        yield running


def fetch(url, folder):
    """Return the checksum of the file, of which the first digits are published."""
    return provide(f"{url}file", folder / "file", len(DATA), "sha256", SHA256[:8], "copy it there", lambda line: None)


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def leave_partial(folder, content):
    (folder / ".file.part").write_bytes(content)


def test_a_file_is_downloaded_once_and_then_only_checked(tmp_path, site):
    folder = tmp_path / "new" / "folder"
    assert fetch(site.url, folder) == SHA256
    assert (folder / "file").read_bytes() == DATA
    assert listed(folder) == ["file"]
    site.files.clear()
    assert fetch(site.url, folder) == SHA256
    assert len(site.asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_is_resumed(tmp_path, site, ranges):
    site.cut, site.ranges = 1_500_000, ranges
    with pytest.raises(VicinalError, match=r"interrupted after 1,500,000 of 2,560,000 bytes; run again to resume it"):
        fetch(site.url, tmp_path)
    assert listed(tmp_path) == [".file.part"]
    site.cut = None
    assert fetch(site.url, tmp_path) == SHA256
    assert [part for _, part in site.asked] == [None, "bytes=1500000-"]
    assert listed(tmp_path) == ["file"]


def test_a_download_that_lacks_its_last_name_only_is_taken(tmp_path, site):
    leave_partial(tmp_path, DATA)
    assert fetch(site.url, tmp_path) == SHA256
    assert (tmp_path / "file").read_bytes() == DATA


@pytest.mark.parametrize("served", [b"", b"<html>not found, but with status 200</html>", DATA[::-1], DATA * 2])
def test_another_file_leaves_nothing(tmp_path, site, served):
    site.files["/file"] = served
    line = r"the download of https://.* failed \(another file came, .* bytes, checksum [0-9a-f]{64}\): copy it there"
    with pytest.raises(VicinalError, match=line):
        fetch(site.url, tmp_path)
    assert listed(tmp_path) == []


def test_a_resumed_download_is_checked_as_a_whole(tmp_path, site):
    leave_partial(tmp_path, b"of another file")
    with pytest.raises(VicinalError, match="another file came"):
        fetch(site.url, tmp_path)
    assert listed(tmp_path) == []
    assert fetch(site.url, tmp_path) == SHA256


def test_a_missing_file_or_server_is_named_with_the_address(tmp_path, site):
    site.files.clear()
    for url, reason in ((site.url, "HTTP Error 404"), (CLOSED, "refused")):
        with pytest.raises(VicinalError, match=rf"{tmp_path}/file: not there, .* {url}file failed .*{reason}.*copy it"):
            fetch(url, tmp_path)
        assert listed(tmp_path) == []


def test_a_damaged_file_is_named_and_left_alone(tmp_path):
    (tmp_path / "file").write_bytes(DATA[:-1])
    with pytest.raises(VicinalError, match=rf"file: damaged or another file .*{SHA256[:8]}\): delete it"):
        fetch(CLOSED, tmp_path)
    assert (tmp_path / "file").read_bytes() == DATA[:-1]


def test_two_processes_do_not_write_one_file(tmp_path, site, capsys):
    with (tmp_path / ".file.part").open("ab") as file, ThreadPoolExecutor() as pool:
        fcntl.flock(file, fcntl.LOCK_EX)
        second = pool.submit(fetch, site.url, tmp_path)
        while "another process is downloading it" not in capsys.readouterr().err:
            assert not second.done()
            time.sleep(0.01)
        assert not site.asked
        fcntl.flock(file, fcntl.LOCK_UN)
        assert second.result() == SHA256
    assert len(site.asked) == 1


def test_those_that_want_the_same_wait_for_each_other(tmp_path, site, monkeypatch):
    wanted = (f"{site.url}file", tmp_path / "file", len(DATA), "sha256", SHA256)
    with ThreadPoolExecutor(8) as pool, monkeypatch.context() as patch:
        late = []

        def look(*arguments):  # while the file is looked at, others come
            late.append(pool.submit(download, *wanted))
            time.sleep(0.3)
            return checksum(*arguments)

        patch.setattr("vicinal.jobs.download.checksum", look)
        for done in [pool.submit(download, *wanted) for _ in range(4)]:
            done.result()
        assert late
        for done in late:
            done.result()
    assert (tmp_path / "file").read_bytes() == DATA
    assert len(site.asked) == 1
    assert listed(tmp_path) == ["file"]
    site.files["/file"] = b"another file"
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(download, wanted[0], tmp_path / "x", *wanted[2:]) for _ in range(4)]:
            with pytest.raises(VicinalError, match="another file came"):
                done.result()


def test_only_https_is_followed(tmp_path, site):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "file").write_bytes(DATA)
    with serving(Site(dict(site.files)), None) as plain:
        site.redirect = plain.url
        for url in (site.url, plain.url, f"file://{tmp_path}/served/"):
            with pytest.raises(VicinalError, match=r"(http|file)://.*: not an https address"):
                fetch(url, tmp_path / "data")
        assert plain.asked == []
    assert listed(tmp_path / "data") == []


def test_a_download_through_a_redirection_to_https_is_resumed(tmp_path, certificate, site):
    with serving(Site(dict(site.files)), certificate) as other:
        site.redirect, other.cut = other.url, 1_500_000
        with pytest.raises(VicinalError, match="run again to resume it"):
            fetch(site.url, tmp_path)
        other.cut = None
        assert fetch(site.url, tmp_path) == SHA256
        assert [part for _, part in other.asked] == [None, "bytes=1500000-"]


def test_a_certificate_that_is_not_trusted_is_refused(tmp_path, monkeypatch, site):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(VicinalError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(site.url, tmp_path)
