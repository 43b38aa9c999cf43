#!/bin/bash -eu
# Builds the fuzzers as OSS-Fuzz wants them: $CC, $CXX, $CFLAGS, $CXXFLAGS and
# $LIB_FUZZING_ENGINE say how, everything goes to $OUT.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=${WORK:-$(mktemp -d)}/nbdcheck-fuzz

cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF \
  -DNBDCHECK_FUZZ=ON -DNBDCHECK_INSTRUMENTED=OFF -DNBDCHECK_WERROR=OFF
targets=(plan history waivers parse config plugin)
cmake --build "$build" --target fuzz_seeds plugin-ramdisk "${targets[@]/%/_fuzzer}"

mkdir -p "$OUT"
for target in "${targets[@]}"; do
  cp "$build/fuzz/${target}_fuzzer" "$OUT/"
  corpus=fuzz/corpus/$target
  [[ $target == plugin ]] && corpus=$build/fuzz/seeds
  rm -f "$OUT/${target}_fuzzer_seed_corpus.zip"
  (cd "$corpus" && zip -q -r "$OUT/${target}_fuzzer_seed_corpus.zip" .)
  if [[ -f fuzz/$target.dict ]]; then cp "fuzz/$target.dict" "$OUT/${target}_fuzzer.dict"; fi
done
cp "$build/plugins/ramdisk.so" "$OUT/"
