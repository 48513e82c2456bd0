"""A worker process as the engine sees one: its calls, without the process."""

from __future__ import annotations

from typing import Any

from engine_room import Engine


class Worker:
    def __init__(self, engine: Engine, lease: str = "15 seconds") -> None:
        self.engine = engine
        self.number = int(engine.value("select df.register_worker('w', 'host', 7, '0.1.0', %s)", lease))

    def claim(self, *lanes: str) -> dict[str, Any] | None:
        found = self.engine.value(
            "select df.claim_step(%s, %s)", self.number, list(lanes or ("session", "python", "shell"))
        )
        assert found is None or isinstance(found, dict)
        return found

    def must_claim(self, *lanes: str) -> dict[str, Any]:
        found = self.claim(*lanes)
        assert found is not None
        return found

    def call(self, name: str, claim: dict[str, Any], *values: object) -> Any:
        """Call one of the engine's functions about a claim."""
        where = [claim["instance_id"], claim["scope_id"], claim["step"], claim["token"], *values]
        return self.engine.value(f"select df.{name}({', '.join(['%s'] * len(where))})", *where)

    def refused(self, name: str, claim: dict[str, Any], *values: object) -> tuple[str, str]:
        from engine_room import refused

        where = [claim["instance_id"], claim["scope_id"], claim["step"], claim["token"], *values]
        return refused(self.engine, f"select df.{name}({', '.join(['%s'] * len(where))})", *where)[:2]

    def run_out(self) -> None:
        """Let the lease end, as the server's clock will."""
        self.engine.rows(
            "update df._workers set lease_until = clock_timestamp() - interval '1 s' where worker_id = %s", self.number
        )
