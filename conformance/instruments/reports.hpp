// What instruments print when they see something: reports of sanitizers and of
// valgrind's memcheck, found in the standard error of a child.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nbdcheck {

struct InstrumentReport {
  std::string rule;                // "memory.address"
  std::string tool;                // "AddressSanitizer"
  std::string what;                // "heap-buffer-overflow", "data race"
  std::vector<std::string> lines;  // as printed, without frames of ours
};

// The first report about code that is not nbdcheck's; none: there is none.
// `plugin` is the plugin's file: a leak counts when its stack passes there.
std::optional<InstrumentReport> first_report(std::string_view standard_error,
                                             std::string_view plugin);

}  // namespace nbdcheck
