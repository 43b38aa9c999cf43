// "did you mean": the known word that is most like a mistyped one.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace nbdcheck {

// Empty when none is near.
std::string nearest(std::string_view word, std::span<const std::string_view> known);

}  // namespace nbdcheck
