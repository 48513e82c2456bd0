"""df.shell: a command for a worker."""

from engine_room import Engine, refused


def test_only_what_was_said_is_kept(pure: Engine) -> None:
    assert pure.value("select df.step('a', df.shell('echo {ds}')) -> 'run'") == {
        "kind": "shell",
        "command": "echo {ds}",
    }
    assert pure.value("""select df.step('a', df.shell('x', '{"A": "1"}', true, '/tmp')) -> 'run'""") == {
        "kind": "shell",
        "command": "x",
        "env": {"A": "1"},
        "append_env": True,
        "cwd": "/tmp",
    }


def test_an_empty_command_is_refused(pure: Engine) -> None:
    for command in ("''", "null"):
        assert refused(pure, f"select df.shell({command})") == ("PD400", "df.shell: the command is empty", None, None)
