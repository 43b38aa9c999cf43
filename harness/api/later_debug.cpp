// nbdkit_debug_hexdump(3), nbdkit_debug_hexdiff, nbdkit_name and
// nbdkit_timestamp, which nbdkit 1.32 does not have yet.
#include <algorithm>
#include <array>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <ctime>
#include <span>

#include "api/api.hpp"
#include "api/later.hpp"

namespace api = nbdcheck::api;

namespace {

constexpr std::size_t row_size = 16;
using Bytes = std::span<const unsigned char>;

Bytes bytes(const void* data, std::size_t size) {
  return {static_cast<const unsigned char*>(data), size};
}

// "00000010: 41 42 43 ...  |ABC...|" as hexdump -C prints it.
std::string row_text(const char* prefix, std::uint64_t offset, Bytes row) {
  std::array<char, 24> number{};
  std::snprintf(number.data(), number.size(), "%08" PRIx64 ":", offset);
  std::string text = prefix == nullptr ? "" : prefix;
  text += number.data();
  std::string characters;
  for (std::size_t i = 0; i < row_size; ++i) {
    if (i == row_size / 2) text += ' ';
    if (i >= row.size()) {
      text += "   ";
      continue;
    }
    std::snprintf(number.data(), number.size(), " %02x", row[i]);
    text += number.data();
    characters += row[i] >= 0x20 && row[i] < 0x7f ? static_cast<char>(row[i]) : '.';
  }
  return text + "  |" + characters + "|";
}

}  // namespace

NBDCHECK_API void nbdkit_debug_hexdump(const void* buf, std::size_t len, const char* prefix,
                                       std::uint64_t offset) {
  if (!api::verbose()) return;
  const Bytes all = bytes(buf, len);
  for (std::size_t at = 0; at < len; at += row_size) {
    api::report_debug(row_text(prefix, offset + at, all.subspan(at, std::min(row_size, len - at))));
  }
}

NBDCHECK_API void nbdkit_debug_hexdiff(const void* buf1, const void* buf2, std::size_t len,
                                       const char* prefix, std::uint64_t offset) {
  if (!api::verbose()) return;
  const std::string start = prefix == nullptr ? "" : prefix;
  for (std::size_t at = 0; at < len; at += row_size) {
    const std::size_t size = std::min(row_size, len - at);
    const Bytes before = bytes(buf1, len).subspan(at, size);
    const Bytes after = bytes(buf2, len).subspan(at, size);
    if (std::equal(before.begin(), before.end(), after.begin())) continue;
    api::report_debug(row_text((start + "-").c_str(), offset + at, before));
    api::report_debug(row_text((start + "+").c_str(), offset + at, after));
  }
}

NBDCHECK_API const char* nbdkit_name() { return "nbdkit"; }

NBDCHECK_API const char* nbdkit_timestamp() {
  using std::chrono::system_clock;
  thread_local std::array<char, 64> text;
  const auto now = system_clock::now().time_since_epoch();
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  const std::time_t seconds = static_cast<std::time_t>(micros / 1'000'000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &utc);
  std::snprintf(text.data() + length, text.size() - length, ".%06d",
                static_cast<int>(micros % 1'000'000));
  return text.data();
}
