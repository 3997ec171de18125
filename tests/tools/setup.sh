#!/bin/sh
# Makes .venv with the first Python that is new enough; `PYTHON=` names another one. See setup.py.
for python in "$PYTHON" python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
  if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    exec "$python" "$(dirname "$0")/setup.py"
  fi
done
echo "Python 3.10 or newer is needed, with its venv module (Debian, Ubuntu: apt install python3-venv)." >&2
exit 1
