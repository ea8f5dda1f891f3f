"""External formats: conversion between bytes and values, without I/O. One format is one module.

``read_X`` converts the bytes or the stream of a document, ``parse_X`` a piece of text. ``encode_X``
returns bytes, ``format_X`` text, and ``make_X`` a part of a document. Readers accept hostile input and
raise FormatError for anything that is malformed or exceeds the module's limits.
"""
