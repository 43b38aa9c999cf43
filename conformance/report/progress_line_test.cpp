#include "report/progress_line.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace nbdcheck {
namespace {

class ProgressTest : public testing::Test {
 protected:
  ProgressTest() : out_(open_memstream(&data_, &size_)) {}
  ~ProgressTest() override {
    std::fclose(out_);
    std::free(data_);
  }
  std::string text() {
    std::fflush(out_);
    return {data_, size_};
  }

  std::chrono::steady_clock::time_point now_{};
  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* out_;
};

TEST_F(ProgressTest, IsSilentInTheFirstSecond) {
  ProgressLine line(out_, 80, [this] { return now_; });
  now_ += std::chrono::milliseconds(999);
  line.update("data.random", 1, 9, 5);
  line.erase();
  EXPECT_EQ(text(), "");
}

TEST_F(ProgressTest, ShowsAndErasesItself) {
  {
    ProgressLine line(out_, 80, [this] { return now_; });
    now_ += std::chrono::milliseconds(2500);
    line.update("data.random", 1, 9, 12345);
    EXPECT_EQ(text(), "\r1 of 9 checks, 2 s, 12,345 operations: data.random\x1b[K");
  }
  EXPECT_TRUE(text().ends_with("\r\x1b[K"));
}

TEST_F(ProgressTest, FitsTheWidthAndIsPrintable) {
  ProgressLine line(out_, 20, [this] { return now_; });
  now_ += std::chrono::seconds(3);
  line.update("\x1b[31m", 1, 9, 5);
  EXPECT_EQ(text(), "\r1 of 9 checks, 3 s,\x1b[K");
}

}  // namespace
}  // namespace nbdcheck
