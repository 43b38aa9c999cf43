// The reader of waivers: any bytes give waivers or one line of text.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "rules/catalogue.hpp"
#include "waivers/read.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto waivers = nbdcheck::parse_waivers(text, "waivers.toml", nbdcheck::all_rules());
  if (waivers) return 0;
  const bool one_line =
      !waivers.error().empty() && std::ranges::none_of(waivers.error(), [](char c) {
        return static_cast<unsigned char>(c) < ' ';
      });
  if (!one_line) std::abort();
  return 0;
}
