#!/bin/sh
# Stands in for an engine: says the frame in `hello`, waits for the first byte of an answer, says the
# frame in `loaded`, and writes down all that it hears, in `heard.` with its process number behind it.
# Its folder is that of the link by which it is called.
folder=$(dirname "$0")
cat "$folder/hello" >&0
dd bs=1 count=1 of="$folder/heard.$$" 2>/dev/null
cat "$folder/loaded" >&0
exec cat >>"$folder/heard.$$"
