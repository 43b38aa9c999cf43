// The reader of plan files: any bytes give a plan or one line of text, and a
// plan that was read is written and read again without change.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "plan/plan.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto plan = nbdcheck::plan_from_text(text);
  if (!plan) {
    const bool one_line = !plan.error().empty() && std::ranges::none_of(plan.error(), [](char c) {
      return static_cast<unsigned char>(c) < ' ';
    });
    if (!one_line) std::abort();
    return 0;
  }
  const auto again = nbdcheck::plan_from_text(nbdcheck::to_text(*plan));
  if (!again || !(*again == *plan)) std::abort();
  return 0;
}
