"""The virtual machine of ``--stage1 kvm``: its kernel, its first program and its files."""
