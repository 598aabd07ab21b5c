"""What is known of the schema without Alembic, which a service does not carry."""

import subprocess
import sys
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from usercenter import migrations


def steps() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return ScriptDirectory.from_config(config)


def test_the_head_is_alembics() -> None:
    assert migrations.head() == steps().get_current_head()


def test_every_step_of_alembics_is_known_and_no_other() -> None:
    assert not any(migrations.is_ahead(script.revision) for script in steps().walk_revisions())
    assert migrations.is_ahead("9999")
    assert not migrations.is_ahead(None)


def test_a_service_does_not_load_what_applies_the_steps() -> None:
    program = "import sys, usercenter.bootstrap; sys.exit(bool({'alembic', 'sqlalchemy'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0  # noqa: S603  # our own words
