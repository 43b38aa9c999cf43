// What the reference disk knows of a byte.  Every kind but `unread` and `any`
// is a function from the byte's offset to its value (or values), so one
// Content describes a run of any length.
#pragma once

#include <cstdint>

namespace nbdcheck {

struct Content {
  enum class Kind : std::uint8_t {
    unread,   // never read nor written: the first read decides (and is kept)
    any,      // unspecified, and need not stay the same: trimmed
    fill,     // `fill`, repeated
    tagged,   // model/tags.hpp, by tag `id`
    literal,  // bytes learnt from a read: literal number `id`
    mixed,    // each byte is one of several: mixture number `id`
  };
  Kind kind = Kind::unread;
  std::uint8_t fill = 0;
  bool learnt = false;    // known from a read, not from a write of ours
  std::uint32_t id = 0;   // tag of the write, zero or trim it came from; or a number, see above

  friend bool operator==(const Content&, const Content&) = default;

  static Content unread() { return {}; }
  static Content any(std::uint32_t tag) { return {Kind::any, 0, false, tag}; }
  static Content filled(std::uint8_t value, std::uint32_t tag) {
    return {Kind::fill, value, false, tag};
  }
  static Content tagged(std::uint32_t tag) { return {Kind::tagged, 0, false, tag}; }
};

}  // namespace nbdcheck
