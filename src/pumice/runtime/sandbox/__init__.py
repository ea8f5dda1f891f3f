"""Run one program in its own namespaces: a program that needs only the standard library.

    python3 -I -S sandbox/__main__.py [OPTION VALUE…]… -- PROGRAM [ARGUMENT…]

``docs/explanation/sandbox.md`` describes what it isolates and what it does not; `options.Options` lists the
options. There are three processes. The first stays outside, forwards signals, and copies streams that the
program cannot open by name. The second supervises: when it ends, its PID namespace ends with it. The third is
the program, process 1 of a nested PID namespace; with ``--init`` the second is process 1 and reaps orphans.

Exit code: that of the program, 128+n if signal n ended it, 126 if it is not executable, 127 if it does not
exist, 125 if the sandbox cannot be set up (the reason goes to ``--status-fd``, by default standard error).

With ``-I -S``, modules come from the standard library and from this folder only, so no installed package can
run code in the process that sets up the isolation. Every module is imported at the top of another one,
or by `main` at the start: once the root has changed, an import would read the files of the image. Therefore
nothing else here may import inside a function, or import another part of Pumice.
"""
