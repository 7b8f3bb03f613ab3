#!/usr/bin/env bash
# Installs RustRay into .venv beside this file.
#
#   ./install.sh          install
#   ./install.sh demo     install, then run notebooks/quickstart.ipynb against a cluster of its own
#   ./install.sh test     install with the test tools, then run ruff, mypy and pytest
#
# It needs Python 3.11 or newer, and asks apt-get only for Python's venv module, where that is missing; `test` also for
# Chromium, without which the tests in a browser are left out.
# Packages come from wherever pip is set up to get them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Some machines set this; every start of Python would then compile everything again.
unset PYTHONDONTWRITEBYTECODE

venv=.venv

say() { printf '%s\n' "$*"; }
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

is_python() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
makes_venvs() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# The newest Python of those that the pinned versions have wheels for; python3 covers unusual names.
find_python() {
    local name bare=""
    for name in python3.14 python3.13 python3.12 python3.11 python3 /usr/bin/python3; do
        is_python "$name" || continue
        if makes_venvs "$name"; then command -v "$name"; return; fi
        bare=${bare:-$name}
    done
    [ -n "$bare" ] || die "needs Python 3.11 or newer on PATH. On Debian or Ubuntu: apt-get install python3 python3-venv"
    add_venv_module "$bare" >&2
    command -v "$bare"
}

add_venv_module() {
    local version package sudo=""
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    package="python$version-venv"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "python$version has no venv module. Ask an administrator for: apt-get install $package"
        sudo=sudo
    fi
    command -v apt-get >/dev/null || die "python$version has no venv module; install it with this system's package tool"
    say "Installing $package"
    $sudo apt-get install -y -q "$package" || { $sudo apt-get update -q && $sudo apt-get install -y -q "$package"; } \
        || die "could not install $package"
    makes_venvs "$1" || die "$1 still has no venv module after installing $package"
}

# What an installation depends on. The path too: a virtual environment does not survive being moved; and JupyterLab's
# sidebar, which is copied into it.
fingerprint() {
    { pwd; cat pyproject.toml constraints.txt jupyter_ext/rustray_jupyter/labextension/package.json; } \
        | sha256sum | cut -d ' ' -f 1
}

# install KIND EXTRAS: nothing to do where the stamp of KIND says that just this was installed before.
install() {
    local stamp="$venv/installed-$1" print python
    print=$(fingerprint)
    if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$print" ]; then
        "$venv/bin/python" -m compileall -qq rustray
        return
    fi
    if [ "$(cat "$venv/made-in" 2>/dev/null)" != "$PWD" ] || ! "$venv/bin/python" -c '' 2>/dev/null; then
        python=$(find_python)
        say "Making $venv with $("$python" --version)"
        rm -rf "$venv"
        "$python" -m venv "$venv"
        printf '%s' "$PWD" >"$venv/made-in"
    fi
    say "Installing RustRay with $2 (a minute or two the first time)"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[$2]"
    # Byte code for all that was installed, if pip left it out. Some packages ship templates named *.py that are
    # not Python, so its verdict on those does not count; ours does.
    "$venv/bin/python" -m compileall -qq -j 0 "$venv"/lib/python3*/site-packages >/dev/null 2>&1 || true
    "$venv/bin/python" -m compileall -qq rustray
    printf '%s' "$print" >"$stamp"
}

# What the tests in a browser look with. Without it they are left out, and pytest says so.
add_chromium() {
    local name
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name" >/dev/null; then return; fi
    done
    command -v apt-get >/dev/null || return 0
    say "Installing chromium"
    as_root apt-get install -y -q chromium >/dev/null 2>&1 \
        || { as_root apt-get update -q && as_root apt-get install -y -q chromium; } >/dev/null 2>&1 \
        || say "could not install chromium: the tests in a browser are left out"
}

# The oldest ipykernel that is supported, beside the one that is installed: tests/integration/test_oldest_ipykernel.py runs
# a kernel with it. Without it that is left out, and pytest says so.
add_oldest_ipykernel() {
    local folder="$venv/ipykernel-6.29"
    if [ -d "$folder/ipykernel" ]; then return; fi
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --target "$folder" "ipykernel==6.29.*" \
        || { rm -rf "$folder"; say "could not install ipykernel 6.29: the tests with it are left out"; }
}

# Without a question: who is not root and has to give a password goes without.
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }

run_tests() {
    local failed=0
    "$venv/bin/ruff" check --quiet . || failed=1
    "$venv/bin/mypy" --no-error-summary || failed=1
    [ "$failed" -eq 0 ] || say "ruff or mypy found something: see above"
    # Last, so that its own summary is what ends the output.
    # Two files at a time: tests with processes mostly wait for these.
    # A process of pytest that ends itself (tests/conftest.py: a test that hangs) is not replaced: with --dist loadfile
    # xdist may then wait for ever (pytest-xdist issue 1378).
    "$venv/bin/python" -m pytest -n 2 --dist loadfile --max-worker-restart=0 || failed=$?
    return "$failed"
}

case "${1:-}" in
    "")
        install user jupyter,examples
        say "RustRay is installed. Next: $venv/bin/jupyter rustray start --lab"
        ;;
    demo)
        install user jupyter,examples
        exec "$venv/bin/python" examples/demo.py
        ;;
    test)
        install test jupyter,examples,test
        add_chromium
        add_oldest_ipykernel
        run_tests
        ;;
    *)
        die "usage: ./install.sh [demo|test]"
        ;;
esac
