"""What every floor of tests shares."""

from server import (  # noqa: F401
    client,
    connection,
    database,
    empty_database,
    pytest_generate_tests,
    server,
    servers,
)
