// A disk with a race, run as checks run plugins.  Built with ThreadSanitizer it
// must be told of: what records the requests must not order them.
#include <cstdio>
#include <cstring>

#include "execute/concurrent.hpp"

namespace nbdcheck {
namespace {

// As small a race as there is: a counter without a lock, beside a disk with one
// sector for each thread.
class Racy final : public Target {
 public:
  tl::expected<std::unique_ptr<Session>, Failure> open(std::string_view) override {
    return std::make_unique<Handle>(*this);
  }

 private:
  class Handle final : public Session {
   public:
    explicit Handle(Racy& disk) : disk_(disk) {}
    const ExportInfo& info() const override { return info_; }
    Reply read(std::span<std::byte>, std::uint64_t, std::uint32_t) override { return {}; }
    Reply write(std::span<const std::byte> from, std::uint64_t offset, std::uint32_t) override {
      std::memcpy(disk_.bytes_.data() + offset, from.data(), from.size());
      ++disk_.writes_;
      return {};
    }
    Reply flush() override { return {}; }
    Reply trim(std::uint32_t, std::uint64_t, std::uint32_t) override { return {}; }
    Reply zero(std::uint32_t, std::uint64_t, std::uint32_t) override { return {}; }
    Reply cache(std::uint32_t, std::uint64_t) override { return {}; }
    Reply extents(std::uint32_t, std::uint64_t, std::uint32_t, ExtentList&) override { return {}; }

   private:
    Racy& disk_;
    ExportInfo info_;
  };
  std::vector<std::byte> bytes_ = std::vector<std::byte>(4096);
  unsigned writes_ = 0;
};

}  // namespace
}  // namespace nbdcheck

int main() {
  using namespace nbdcheck;
  Racy disk;
  ConcurrentRunner runner(disk, 4096, {});
  std::vector<Operation> plan{{.kind = OpKind::open}};
  for (std::uint32_t i = 0; i < 400; ++i) {
    Operation op{.kind = OpKind::write};
    op.thread = static_cast<std::uint8_t>(i % 2);
    op.round = static_cast<std::uint16_t>(1 + i / 2);
    op.offset = i % 2 * 512;
    op.count = 512;
    op.tag = i + 1;
    plan.push_back(op);
  }
  runner.run(plan, 1);
  std::puts("done");
}
