// More connections than anybody's table has room for: 8, 16, 32 are the sizes that
// people think enough.  Each works on a part of the disk of its own, and then half of
// them leave and come again.
#include <algorithm>
#include <cstdint>

#include "checks/sequence_check.hpp"

namespace nbdcheck::checks::handle_many {
namespace {

constexpr std::uint64_t longest_reading = 2'000'000'000;  // nanoseconds
constexpr std::uint64_t requests_each = 6;

// As many as a probe had open in the time it had, and no more than are served soon.
unsigned clients(const Subject& subject) {
  std::uint64_t count = subject.connections_seen == 0 ? many_connections : subject.connections_seen;
  if (const std::uint64_t slow = requests_each * subject.nanoseconds_per_read; slow > 0)
    count = std::min(count, longest_reading / slow);
  count = std::clamp<std::uint64_t>(count, 2, many_connections);
  const std::uint64_t room = subject.info.size / subject.minimum_block();
  return subject.together(static_cast<unsigned>(std::min(count, room)));
}

std::string not_applicable(const Subject& subject) {
  if (const auto why = needs_two_connections(subject); !why.empty()) return why;
  if (const auto why = needs_contents(subject); !why.empty()) return why;
  return clients(subject) < 2 ? "too small for two parts" : "";
}

class Plan {
 public:
  explicit Plan(const Subject& subject)
      : writes_(subject.info.can_write),
        clients_(clients(subject)),
        part_(subject.info.size / clients_ / subject.minimum_block() * subject.minimum_block()),
        length_(std::min(part_, aim_of(subject).typical_length)) {
    for (unsigned c = 0; c < clients_; ++c) {
      add(OpKind::open, c);
      if (writes_) add(OpKind::write, c);
      add(OpKind::read, c);
    }
    read_all();
    for (unsigned c = 0; c < clients_; c += 2) add(OpKind::close, c);
    read_all();
    for (unsigned c = 0; c < clients_; c += 2) {
      add(OpKind::open, c);
      if (writes_) add(OpKind::write, c);
    }
    read_all();
  }
  [[nodiscard]] const std::vector<Operation>& operations() const { return operations_; }

 private:
  // Those that are not open are left out when it runs.
  void read_all() {
    for (unsigned c = 0; c < clients_; ++c) add(OpKind::read, c);
  }
  void add(OpKind kind, unsigned connection) {
    Operation op{.kind = kind, .connection = static_cast<std::uint8_t>(connection)};
    if (has_range(kind)) {
      // What nobody may change looks the same to all.
      op.offset = writes_ ? connection * part_ : 0;
      op.count = static_cast<std::uint32_t>(length_);
    }
    if (modifies(kind)) op.tag = ++tag_;
    operations_.push_back(op);
  }

  bool writes_;
  unsigned clients_;
  std::uint64_t part_;
  std::uint64_t length_;
  std::uint32_t tag_ = 0;
  std::vector<Operation> operations_;
};

const Registration registration{{
    .id = "handle.many",
    .summary = "many connections are open at once, each with a part of the disk",
    .rules = {"handle.independent"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          SequenceOptions options = run.sequence_options();
          options.lanes = true;
          run_fixed_sequence(run, Plan(run.subject()).operations(), options);
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::handle_many
