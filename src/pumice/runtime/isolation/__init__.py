"""What a container may do and use: capabilities, system calls, memory, processors, devices and more."""
