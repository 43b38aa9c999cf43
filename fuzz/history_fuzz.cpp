// The reader of saved histories: any bytes give a history or one line of text, and
// one that was read can be judged.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "judge/history_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto history =
      nbdcheck::history_from_text(std::string(reinterpret_cast<const char*>(data), size));
  if (history) return 0;
  const bool one_line =
      !history.error().empty() && std::ranges::none_of(history.error(), [](char c) {
        return static_cast<unsigned char>(c) < ' ';
      });
  if (!one_line) std::abort();
  return 0;
}
