# What the scripts here share.  Sourced, not run.
#
# nbdcheck_build PRESET [TARGET...]: configures and builds build/PRESET; quiet
# when all goes well.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

nbdcheck_build() {
  local preset=$1 begin=$SECONDS launcher=()
  shift
  if command -v ccache >/dev/null; then
    export CCACHE_SLOPPINESS=pch_defines,time_macros
    launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  local log
  log=$(mktemp)
  if ! { cmake --preset "$preset" "${launcher[@]}" &&
    cmake --build --preset "$preset" ${*:+--target "$@"}; } >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    rm -f "$log"
    echo "the build of build/$preset failed; the end of its output is above" >&2
    return 1
  fi
  rm -f "$log"
  if ((SECONDS - begin >= 5)); then
    echo "built build/$preset in $((SECONDS - begin)) s" >&2
  fi
}
