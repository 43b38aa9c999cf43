// What the tests of the sandbox share: the program is its own child.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "nbdcheck/sandbox.hpp"

namespace nbdcheck::sandbox_test {

// What `main` does with --child MODE: see sandbox_test_child.cpp.
int child_main(const std::string& mode);

// Whether a sanitizer is at work, which reports crashes in its own way.
bool sanitized();

class SandboxTest : public testing::Test {
 protected:
  // Nothing may be left behind, not even a zombie.
  void TearDown() override;

  ChildSpec spec(const std::string& mode);
  ChildEnd run(const std::string& mode) { return run_child(spec(mode)); }

  std::vector<std::string> events_;
};

// The first function of the culprit's stack; "" without one.
std::string blamed(const ChildEnd& end);
// Whether the stack of some thread has a function with `part` in its name.
bool some_stack_has(const ChildEnd& end, std::string_view part, bool culprit_only = false);
// All stacks, for messages.
std::string show(const ChildEnd& end);

}  // namespace nbdcheck::sandbox_test
