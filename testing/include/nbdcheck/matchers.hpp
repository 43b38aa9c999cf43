/// @file
/// GoogleMock matchers on what a plugin answered. When one fails, the text says
/// which call it was, what the plugin said, and what was called before.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nbdcheck/testing.hpp"

namespace nbdcheck {
namespace detail {

inline std::vector<std::byte> bytes_of(std::string_view text) {
  std::vector<std::byte> bytes(text.size());
  std::transform(text.begin(), text.end(), bytes.begin(), [](char c) { return std::byte(c); });
  return bytes;
}

inline std::string hex(std::byte byte) {
  constexpr std::string_view digits = "0123456789abcdef";
  const auto value = std::to_integer<unsigned>(byte);
  return {digits[value / 16], digits[value % 16]};
}

}  // namespace detail

/// The call succeeded.
MATCHER(Succeeds, negation ? "fails" : "succeeds") {
  static_cast<void>(result_listener);
  return arg.ok();
}

/// It failed with this errno value, as the plugin gave it.
MATCHER_P(FailsWith, error, std::string("fails with ") + std::strerror(error)) {
  static_cast<void>(result_listener);
  return arg.error == error;
}

/// A read succeeded, and returned just these bytes.
MATCHER_P(ReturnsBytes, bytes, "returns " + std::to_string(bytes.size()) + " given bytes") {
  if (!arg.ok()) return false;
  const auto [got, wanted] =
      std::mismatch(arg.data.begin(), arg.data.end(), bytes.begin(), bytes.end());
  if (got == arg.data.end() && wanted == bytes.end()) return true;
  if (got == arg.data.end() || wanted == bytes.end()) {
    *result_listener << "where " << arg.data.size() << " bytes came";
  } else {
    *result_listener << "where byte " << got - arg.data.begin() << " is " << detail::hex(*got)
                     << " and not " << detail::hex(*wanted);
  }
  return false;
}
inline auto Returns(std::string_view text) { return ReturnsBytes(detail::bytes_of(text)); }
inline auto Returns(std::vector<std::byte> bytes) { return ReturnsBytes(std::move(bytes)); }

/// A read succeeded, and every byte is this one.
MATCHER_P(ReturnsOnly, byte, "returns only bytes " + detail::hex(std::byte(byte))) {
  if (!arg.ok()) return false;
  const auto other = std::find_if(arg.data.begin(), arg.data.end(),
                                  [&](std::byte b) { return b != std::byte(byte); });
  if (other == arg.data.end()) return true;
  *result_listener << "where byte " << other - arg.data.begin() << " is " << detail::hex(*other);
  return false;
}
inline auto ReturnsZeroes() { return ReturnsOnly(0); }

/// The plugin said something that contains this, with nbdkit_error.
MATCHER_P(Says, words, std::string(negation ? "does not say" : "says") + " \"" + words + "\"") {
  static_cast<void>(result_listener);
  return std::any_of(arg.messages.begin(), arg.messages.end(), [&](const std::string& message) {
    return message.find(words) != std::string::npos;
  });
}

/// Every answer of a run was as the reference disk has it.
MATCHER(KeepsTheContract, negation ? "breaks a rule" : "keeps every rule that a client can see") {
  static_cast<void>(result_listener);
  return arg.ok();
}

}  // namespace nbdcheck
