// Operations in words.
#include <fmt/format.h>

#include <algorithm>

#include "plan/names.hpp"
#include "plan/plan.hpp"

namespace nbdcheck {

std::string_view name(OpKind kind) {
  switch (kind) {
    case OpKind::open:
      return "open";
    case OpKind::close:
      return "close";
    case OpKind::read:
      return "read";
    case OpKind::write:
      return "write";
    case OpKind::flush:
      return "flush";
    case OpKind::trim:
      return "trim";
    case OpKind::zero:
      return "zero";
    case OpKind::cache:
      return "cache";
    case OpKind::extents:
      return "extents";
  }
  return "unknown";
}

bool modifies(OpKind kind) {
  return kind == OpKind::write || kind == OpKind::trim || kind == OpKind::zero;
}

bool has_range(OpKind kind) {
  return kind != OpKind::open && kind != OpKind::close && kind != OpKind::flush;
}

bool concurrent(std::span<const Operation> operations) {
  return std::any_of(operations.begin(), operations.end(),
                     [](const Operation& op) { return op.thread != 0 || op.round != 0; });
}

std::string describe(const Operation& op) {
  std::vector<std::string> words;
  if (has_range(op.kind)) {
    words.push_back(fmt::format("offset={}", op.offset));
    words.push_back(fmt::format("count={}", op.count));
  }
  if (op.kind == OpKind::write && op.payload != Payload::tags) {
    words.push_back(
        fmt::format("data={}", plan_words::payloads.at(static_cast<std::size_t>(op.payload))));
  }
  std::uint32_t rest = op.flags;
  for (const plan_words::FlagName& flag : plan_words::flags) {
    if ((op.flags & flag.bit) != 0) words.emplace_back(flag.name);
    rest &= ~flag.bit;
  }
  if (rest != 0) words.push_back(fmt::format("{:#x}", rest));
  return fmt::format("#{} {}({})", op.connection, name(op.kind), fmt::join(words, ", "));
}

}  // namespace nbdcheck
