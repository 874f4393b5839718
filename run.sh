#!/usr/bin/env bash
# Finds or makes the Python environment of ModelTest and hands over its words unchanged:
#   bash run.sh                   the help
#   bash run.sh quickstart        the first run
#   bash run.sh test [WORDS]      every check of the project; WORDS go to pytest
# MODELTEST_PYTHON names the Python to start from, MODELTEST_VENV the environment to make (.venv here),
# MODELTEST_ENGINE_PYTHON one with the packages of an engine, such as vLLM, that workers run in.
# The exit status is the command's; 3 when no environment could be made ready.
set -euo pipefail

script=${BASH_SOURCE[0]}
[[ $script == */* ]] || script=./$script
root=$(CDPATH='' cd -- "${script%/*}/" && pwd -P)

# Prints the interpreter behind a command, nothing if it is older than 3.10 or does not run at all:
# version managers leave commands on PATH that only print an error.
interpreter_of() {
    "$1" -I -S -c 'import sys; sys.version_info >= (3, 10) and print(sys.executable)' 2>/dev/null || true
}

# To Python an empty entry of PYTHONPATH is the current directory; the set_env.sh of CANN leaves one.
if [[ -n ${PYTHONPATH:-} ]]; then
    paths=:$PYTHONPATH:
    while [[ $paths == *::* ]]; do
        paths=${paths//::/:}
    done
    paths=${paths#:}
    export PYTHONPATH=${paths%:}
fi

candidates=(python3 python python3.13 python3.12 python3.11 python3.10)
if [[ -n ${MODELTEST_PYTHON:-} ]]; then
    candidates=("$MODELTEST_PYTHON")
fi
found=
for candidate in "${candidates[@]}"; do
    found=$(interpreter_of "$candidate")
    if [[ -n $found ]]; then
        break
    fi
done
if [[ -z $found ]]; then
    printf 'run.sh: no Python 3.10 or newer; tried: %s\n' "${candidates[*]}" >&2
    printf 'run.sh: name one with MODELTEST_PYTHON=/path/to/python\n' >&2
    exit 3
fi

if [[ -n ${MODELTEST_VENV:-} && $MODELTEST_VENV != /* ]]; then
    export MODELTEST_VENV=$PWD/$MODELTEST_VENV
fi
# The Python of an engine, wherever it is named, gets what ModelTest needs there.
for ((number = 1; number <= $#; number++)); do
    case ${!number} in
    --engine-python=*)
        export MODELTEST_ENGINE_PYTHON=${!number#*=}
        ;;
    --engine-python)
        following=$((number + 1))
        export MODELTEST_ENGINE_PYTHON=${!following-}
        ;;
    esac
done
if [[ -n ${MODELTEST_ENGINE_PYTHON-} && $MODELTEST_ENGINE_PYTHON != [/~]* ]]; then
    export MODELTEST_ENGINE_PYTHON=$PWD/$MODELTEST_ENGINE_PYTHON
fi
python=$(cd -- "$root" && PYTHONSAFEPATH='' "$found" -m modeltest.bootstrap "${1-}") || exit "$?"

if [[ ${1-} == test ]]; then
    exec "$python" "$root/tests/run_checks.py" "${@:2}"
fi
# Not `-m modeltest`: that would import what lies where the user stands.
exec "$python" "$root/modeltest/start.py" modeltest.cli "$@"
