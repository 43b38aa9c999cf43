#include <memory>
#include <mutex>
#include <unordered_set>

#include "api/host.hpp"

namespace nbdcheck::detail {
namespace {

struct Register {
  std::mutex mutex;
  std::unordered_set<const LiveMark*> marks;
};

// Never destroyed: plugins run code while the process exits.
Register& the_register() {
  static auto& instance = *std::make_unique<Register>().release();
  return instance;
}

void enter(const LiveMark* mark) {
  Register& all = the_register();
  const std::lock_guard lock(all.mutex);
  all.marks.insert(mark);
}

}  // namespace

LiveMark::LiveMark() { enter(this); }
LiveMark::LiveMark(const LiveMark& /*other*/) { enter(this); }

LiveMark::~LiveMark() {
  Register& all = the_register();
  const std::lock_guard lock(all.mutex);
  all.marks.erase(this);
}

bool LiveMark::is_live(const LiveMark* mark) {
  Register& all = the_register();
  const std::lock_guard lock(all.mutex);
  return all.marks.contains(mark);
}

}  // namespace nbdcheck::detail
