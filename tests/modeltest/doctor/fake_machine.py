"""A machine made of dictionaries: what a check sees of it is what a test put there."""

import fnmatch
from dataclasses import dataclass, field

from modeltest.doctor.machine import CommandOutput


@dataclass
class FakeMachine:
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, CommandOutput] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    taken_ports: tuple[int, ...] = ()
    open_paths: tuple[str, ...] = ()
    working_directory: str = "/home/user/runs"

    def exists(self, path):
        return any(each == path or each.startswith(f"{path}/") for each in self.files) and bool(path)

    def is_open_to_all(self, path):
        return path in self.open_paths

    def text_of(self, path):
        return self.files.get(path)

    def paths(self, pattern):
        return tuple(sorted(path for path in self.files if fnmatch.fnmatch(path, pattern)))

    def run(self, *command):
        return self.outputs.get(" ".join(command))

    def version_of(self, package):
        return self.packages.get(package)

    def is_port_free(self, port):
        return port not in self.taken_ports

    def free_port(self):
        return 23456
