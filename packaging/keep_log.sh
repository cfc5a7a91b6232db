#!/bin/sh
# keep_log.sh LOG COMMAND...: runs the command, shows its messages and keeps them in LOG for tests/house/test_build.py.
log=$1
shift
"$@" >"$log.part" 2>&1
code=$?
cat "$log.part"
if [ $code -eq 0 ]; then mv "$log.part" "$log"; else rm -f "$log.part" "$log"; fi
exit $code
