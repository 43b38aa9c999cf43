// Whether something grows with every repetition, judged on samples taken after
// equal rounds of work.  Caches that fill up, first-use initialisation and the
// steps of an allocator are not growth: they stop, or come now and then.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace nbdcheck {

// The growth for one repetition; no value: it does not grow steadily.  Every
// round of `repetitions` must add, and no round may add more than twice or less
// than half of what the average one does.  Needs four samples.
std::optional<double> steady_growth(std::span<const std::uint64_t> samples,
                                    std::uint64_t repetitions);

}  // namespace nbdcheck
