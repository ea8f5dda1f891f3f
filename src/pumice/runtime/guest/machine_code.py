"""A program for x86-64 Linux that consists of system calls, written without a compiler.

Each call is a method of `Assembler`, whose arguments are numbers, addresses or values in memory. The result
is a static ELF file.
"""

from __future__ import annotations

import struct

import msgspec

BASE = 0x400000
"""The address at which the program is loaded."""
_HEADERS = 64 + 56
_RAX = 0
_ARGUMENTS = (7, 6, 2, 10, 8, 9)
"""The registers rdi, rsi, rdx, r10, r8 and r9."""
_SYSCALL, _JUMP = b"\x0f\x05", b"\xe9"
_JUMP_IF_NEGATIVE, _JUMP_IF_ZERO, _JUMP_IF_NOT_ZERO = b"\x0f\x88", b"\x0f\x84", b"\x0f\x85"
_IN_CODE_NARROW, _IN_CODE, _IN_DATA = range(3)


class Address(msgspec.Struct, frozen=True):
    """The address of data or of a variable of the program."""

    offset: int
    in_data: bool = True


class Value(msgspec.Struct, frozen=True):
    """The value of a variable; a ``narrow`` one has 32 bits."""

    offset: int
    narrow: bool = False


Operand = int | Address | Value


class Assembler:
    """A program that is being written; its methods append instructions."""

    def __init__(self) -> None:
        self._code = bytearray()
        self._data = bytearray()
        self._memory = 0
        self._marks: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []
        self._addresses: list[tuple[int, Address, int]] = []
        self._labels = 0

    def data(self, content: bytes) -> Address:
        """Return the address of bytes, which are part of the program."""
        self._data += bytes(-len(self._data) % 8)
        address = Address(len(self._data))
        self._data += content
        return address

    def text(self, content: str) -> Address:
        """Return the address of a text that ends with a NUL."""
        return self.data(content.encode(errors="surrogateescape") + b"\0")

    def pointers(self, addresses: list[Address]) -> Address:
        """Return the address of an array of addresses, which ends with 0."""
        array = self.data(bytes(8 * (len(addresses) + 1)))
        for index, address in enumerate(addresses):
            self._addresses.append((array.offset + 8 * index, address, _IN_DATA))
        return array

    def data_with_pointer(self, content: bytes, position: int, address: Address) -> Address:
        """Return the address of bytes that contain an address at a position."""
        result = self.data(content)
        self._addresses.append((result.offset + position, address, _IN_DATA))
        return result

    def variable(self, size: int = 8) -> Value:
        """Return a variable, which is zero; a larger size makes it a buffer."""
        value = Value(self._memory)
        self._memory += size + -size % 8
        return value

    def label(self, name: str) -> str:
        """Return a name for `mark` that is not in use."""
        self._labels += 1
        return f"{name} {self._labels}"

    def mark(self, label: str) -> None:
        """Let jumps to ``label`` lead here."""
        self._marks[label] = len(self._code)

    def call(self, number: int, *arguments: Operand, result: Value | None = None) -> None:
        """Make a system call; ``result`` is set to what it returns, which jumps test as well."""
        for register, argument in zip(_ARGUMENTS, arguments, strict=False):
            self._load(register, argument)
        self._load(_RAX, number)
        self._code += _SYSCALL
        if result is not None:
            self._memory_operation(b"\x89", _RAX, result)
        self._code += b"\x48\x85\xc0"  # test rax, rax

    def store_result(self, value: Value) -> None:
        """Set a variable to what the last call returned, after a jump that tested it."""
        self._memory_operation(b"\x89", _RAX, value)

    def compare(self, value: Value, other: Operand) -> None:
        """Compare for the next `jump_if_zero`, which jumps if both are equal."""
        self._load(_RAX, other)
        self._memory_operation(b"\x3b", _RAX, value)

    def set(self, value: Value, operand: Operand) -> None:
        """Set a variable."""
        self._load(_RAX, operand)
        self._memory_operation(b"\x89", _RAX, value)

    def add(self, value: Value, operand: Operand) -> None:
        """Add to a variable."""
        self._load(_RAX, operand)
        self._memory_operation(b"\x01", _RAX, value)

    def subtract(self, value: Value, operand: Operand) -> None:
        """Subtract from a variable; the next jump tests the difference."""
        self._load(_RAX, operand)
        self._memory_operation(b"\x29", _RAX, value)

    def jump(self, label: str) -> None:
        """Continue at a label."""
        self._jump(_JUMP, label)

    def jump_if_negative(self, label: str) -> None:
        """Continue at a label if the last result is an error."""
        self._jump(_JUMP_IF_NEGATIVE, label)

    def jump_if_zero(self, label: str) -> None:
        """Continue at a label if the last result is zero."""
        self._jump(_JUMP_IF_ZERO, label)

    def jump_if_not_zero(self, label: str) -> None:
        """Continue at a label if the last result is not zero."""
        self._jump(_JUMP_IF_NOT_ZERO, label)

    def _jump(self, instruction: bytes, label: str) -> None:
        self._code += instruction + bytes(4)
        self._jumps.append((len(self._code) - 4, label))

    def _load(self, register: int, operand: Operand) -> None:
        if isinstance(operand, Value):
            self._memory_operation(b"\x8b", register, operand)
            return
        self._code += bytes([0x48 | register >> 3, 0xB8 | register & 7])
        if isinstance(operand, Address):
            self._addresses.append((len(self._code), operand, _IN_CODE))
            self._code += bytes(8)
        else:
            self._code += struct.pack("<Q", operand % (1 << 64))

    def _memory_operation(self, instruction: bytes, register: int, value: Value) -> None:
        """Append an instruction with a register and a variable, which has a 32-bit absolute address."""
        prefix = (0x40 if value.narrow else 0x48) | (register >> 3) << 2
        self._code += bytes([prefix]) + instruction + bytes([(register & 7) << 3 | 4, 0x25])
        self._addresses.append((len(self._code), address_of(value), _IN_CODE_NARROW))
        self._code += bytes(4)

    def finish(self) -> bytes:
        """Return the program as an ELF file."""
        for position, label in self._jumps:
            struct.pack_into("<i", self._code, position, self._marks[label] - position - 4)
        self._code += bytes(-(_HEADERS + len(self._code)) % 8)
        self._data += bytes(-len(self._data) % 8)
        data_start = BASE + _HEADERS + len(self._code)
        memory_start = data_start + len(self._data)
        for position, address, kind in self._addresses:
            number = address.offset + (data_start if address.in_data else memory_start)
            target = self._data if kind == _IN_DATA else self._code
            struct.pack_into("<I" if kind == _IN_CODE_NARROW else "<Q", target, position, number)
        ident = b"\x7fELF\2\1\1" + bytes(9)
        header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 64, 0, 0)
        size = memory_start - BASE
        segment = struct.pack("<IIQQQQQQ", 1, 7, 0, BASE, BASE, size, size + self._memory, 4096)
        return ident + header + segment + bytes(self._code) + bytes(self._data)


def address_of(value: Value, offset: int = 0) -> Address:
    """Return the address of a variable, or of a byte in it."""
    return Address(value.offset + offset, in_data=False)
