// Requests on one connection to the test plugin.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "server/test_plugin.hpp"

namespace nbdcheck::test {

class Requests : public ::testing::Test {
 protected:
  void SetUp() override { reset(); }

  void begin(ServerOptions options = {}) {
    running = std::make_unique<Running>(std::move(options));
    connection = &running->open();
    running->recorder.clear();
    take_log();
  }
  Incidents incidents() { return running->recorder.incidents(); }

  std::byte block[512] = {};
  std::unique_ptr<Running> running;
  Connection* connection = nullptr;
};

}  // namespace nbdcheck::test
