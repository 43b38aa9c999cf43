#include "judge/history_file.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace nbdcheck {
namespace {

std::string error_of(const std::string& text) {
  const auto history = history_from_text(text);
  return history ? "" : history.error();
}

const std::string good =
    R"({"client": 1, "op": "write", "sector": 7, "value": 42, "begin": 10, "end": 20})";

TEST(HistoryFile, ReadsEveryKey) {
  const auto history = history_from_text(
      good + "\n\n" +
      R"({"end":5,"begin":-3,"sector":18446744073709551615,"op":"zero","client":-1,"more":[1,{"a":2}]})" +
      "\r\n" +
      R"({"client":2,"op":"read","sector":0,"value":18446744073709551615,"begin":9,"end":9})");
  ASSERT_TRUE(history) << history.error();
  ASSERT_EQ(history->size(), 3U);
  const RegisterOp& write = (*history)[0];
  EXPECT_EQ(write.kind, RegisterOp::Kind::write);
  EXPECT_EQ(write.client, 1);
  EXPECT_EQ(write.sector, 7U);
  EXPECT_EQ(write.value, 42U);
  EXPECT_EQ(write.begin, 10);
  EXPECT_EQ(write.end, 20);
  EXPECT_EQ(write.line, 1U);
  const RegisterOp& zero = (*history)[1];
  EXPECT_EQ(zero.kind, RegisterOp::Kind::zero);
  EXPECT_EQ(zero.value, 0U);
  EXPECT_EQ(zero.begin, -3);
  EXPECT_EQ(zero.sector, UINT64_MAX);
  EXPECT_EQ(zero.line, 3U);
  EXPECT_EQ((*history)[2].value, UINT64_MAX);
}

TEST(HistoryFile, NothingIsAHistory) {
  EXPECT_TRUE(history_from_text(""));
  EXPECT_TRUE(history_from_text("\n\n"));
}

TEST(HistoryFile, NamesTheLine) {
  EXPECT_EQ(error_of(good + "\n{"), "line 2: not a JSON object");
  EXPECT_EQ(error_of("[]"), "line 1: not a JSON object");
  EXPECT_EQ(error_of("7"), "line 1: not a JSON object");
  EXPECT_EQ(error_of(good + " " + good), "line 1: not a JSON object");
  EXPECT_EQ(error_of(good.substr(0, good.size() - 1)), "line 1: not a JSON object");
  const auto with = [](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    text.replace(at, from.size(), to);
    return error_of(text);
  };
  EXPECT_EQ(with(R"("client": 1, )", ""), "line 1: \"client\" is missing");
  EXPECT_EQ(with(R"("op": "write", )", ""), "line 1: \"op\" is missing");
  EXPECT_EQ(with(R"("value": 42, )", ""), "line 1: \"value\" is missing");
  EXPECT_EQ(with(R"("write")", R"("trim")"), "line 1: \"op\" is none of read, write, zero");
  EXPECT_EQ(with(R"("write")", "3"), "line 1: \"op\" is not a string");
  EXPECT_EQ(with("42", "4.5"), "line 1: \"value\" is not an integer in range");
  EXPECT_EQ(with("42", "\"42\""), "line 1: \"value\" is not an integer in range");
  EXPECT_EQ(with("42", "99999999999999999999"), "line 1: a number is malformed or too large");
  EXPECT_EQ(with("20", "9"), "line 1: it ends before it begins");
  EXPECT_EQ(with("\"end\"", "\"begin\""), "line 1: second \"begin\"");
}

TEST(HistoryFile, AClientDoesOneThingAtATime) {
  const auto line = [](int client, int begin, int end) {
    return R"({"client":)" + std::to_string(client) +
           R"(,"op":"read","sector":1,"value":0,"begin":)" + std::to_string(begin) + R"(,"end":)" +
           std::to_string(end) + "}\n";
  };
  EXPECT_EQ(error_of(line(1, 0, 5) + line(2, 0, 5)), "");
  EXPECT_EQ(error_of(line(1, 10, 15) + line(1, 0, 5)), "") << "the order of the lines is free";
  EXPECT_EQ(error_of(line(1, 0, 5) + line(1, 5, 9)), "");
  EXPECT_EQ(error_of(line(1, 0, 5) + line(2, 0, 9) + line(1, 4, 9)),
            "line 3: overlaps line 1, of the same client 1");
}

TEST(HistoryFile, MissingAndDirectory) {
  EXPECT_NE(read_history("/no/such/file").error().find("/no/such/file: "), std::string::npos);
  EXPECT_EQ(read_history("/").error(), "/: is a directory");
}

}  // namespace
}  // namespace nbdcheck
