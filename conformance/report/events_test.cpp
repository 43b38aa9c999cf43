#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "report/event.hpp"
#include "report/sample_run.hpp"

namespace nbdcheck {
namespace {

using nlohmann::json;

std::vector<json> lines_of(const std::string& path) {
  std::vector<json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
  return lines;
}

class EventsReport : public testing::Test {
 protected:
  ~EventsReport() override { std::filesystem::remove(path_); }
  const std::string path_ = testing::TempDir() + "nbdcheck-events-" + std::to_string(::getpid());
};

TEST_F(EventsReport, HasALineForEachEventAsItComes) {
  std::ofstream(path_) << "what an earlier run left\n";
  const RunSummary run = sample::nonconformant();
  const auto report = events_report(path_);
  report->on_begin(run);
  ASSERT_EQ(lines_of(path_).size(), 1U);
  report->on_subject(*run.subject);
  report->on_check(run.checks.at(0));
  report->on_finding(run.findings.at(0));
  ASSERT_EQ(lines_of(path_).size(), 4U) << "it is there before the run ends";
  report->on_end(run);
  EXPECT_EQ(report->error(), "");

  const std::vector<json> lines = lines_of(path_);
  ASSERT_EQ(lines.size(), 5U);
  const char* const events[] = {"begin", "subject", "check", "finding", "end"};
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["event"], events[i]);
    EXPECT_TRUE(lines[i]["seconds"].is_number());
  }
  EXPECT_EQ(lines[0]["schema"], 1);
  EXPECT_EQ(lines[1]["size"], run.subject->info.size);
  EXPECT_EQ(lines[2]["id"], run.checks[0].id);
  EXPECT_EQ(lines[3]["rule"], run.findings[0].rule);
  EXPECT_EQ(lines[3]["waived"], false);
  EXPECT_EQ(lines[4]["verdict"], "nonconformant");
  EXPECT_EQ(lines[4]["exit_code"], 1);
}

TEST_F(EventsReport, TellsOfProgressNotTooOften) {
  const auto report = events_report(path_);
  report->on_begin(sample::conformant());
  for (int i = 0; i < 1000; ++i) report->on_progress("data.random", 1, 2, 3);
  EXPECT_LT(lines_of(path_).size(), 100U);
  const json line = lines_of(path_).at(1);
  EXPECT_EQ(line["event"], "progress");
  EXPECT_EQ(line["check"], "data.random");
  EXPECT_EQ(line["done"], 1);
  EXPECT_EQ(line["total"], 2);
  EXPECT_EQ(line["operations"], 3);
}

TEST(EventsReportFailure, IsTold) {
  const auto report = events_report("/dev/full");
  report->on_begin(sample::conformant());
  EXPECT_NE(report->error().find("/dev/full"), std::string::npos);
}

}  // namespace
}  // namespace nbdcheck
