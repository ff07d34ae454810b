"""The command that runs the daemon."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import structlog

from collector.cli import config_option
from collector.config import Config


@click.command()
@config_option
def run(config_file: Path) -> None:
    """Run the collector until SIGTERM."""
    from collector.daemon import run as run_daemon  # noqa: PLC0415 - loads the MQTT client

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    run_daemon(Config.from_toml(config_file))
