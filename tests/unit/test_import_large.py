"""Large imports: no garbage collection looks at what they make."""

import gc
import sys

import pytest

from vicinal.jobs.script import import_large


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that makes a module of this code, and its name."""
    monkeypatch.syspath_prepend(tmp_path)
    name = "a_large_package"

    def make(code: str) -> str:
        (tmp_path / f"{name}.py").write_text(f"import gc\nduring = gc.isenabled()\n{code}\n")
        return name

    yield make
    sys.modules.pop(name, None)
    gc.unfreeze()


def test_what_a_large_import_makes_is_never_looked_at_again(package):
    name = package("things = [[] for _ in range(1000)]")
    before = gc.get_freeze_count()
    import_large(name)
    assert not sys.modules[name].during
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + 1000
    after = gc.get_freeze_count()
    import_large(name)  # it is there: nothing more is kept for good
    assert gc.get_freeze_count() == after


def test_collections_go_on_after_an_import_that_fails(package):
    with pytest.raises(ZeroDivisionError):
        import_large(package("1 / 0"))
    assert gc.isenabled()
