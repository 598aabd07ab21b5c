"""What a killed test run has left in memory goes, and nothing else."""

import fcntl
from pathlib import Path

from in_memory import PREFIX, clear_away

from usercenter.embedded.data_dir import LOCK_FILE


def test_only_folders_whose_run_is_over_are_cleared_away(tmp_path: Path) -> None:
    over, at_work, beginning = (tmp_path / f"{PREFIX}{name}" for name in ("over", "at-work", "beginning"))
    another = tmp_path / "another"
    for folder in (over, at_work, another):
        folder.mkdir()
        (folder / LOCK_FILE).touch()
    beginning.mkdir()

    with (at_work / LOCK_FILE).open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        clear_away(tmp_path)

    assert sorted(tmp_path.iterdir()) == sorted([at_work, beginning, another])


def test_a_folder_whose_lock_cannot_be_opened_stays_and_keeps_no_run_from_beginning(tmp_path: Path) -> None:
    (lock := tmp_path / f"{PREFIX}of-somebody-else" / LOCK_FILE).mkdir(parents=True)  # what nobody opens for writing

    clear_away(tmp_path)

    assert lock.exists()
